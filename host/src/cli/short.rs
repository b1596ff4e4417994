//! The short forms of `jackfield agent`: one line of words to one message of the protocol.
//!
//! One table says what there is; the help is made of it. No platform is known here: an adapter's own commands have one
//! generic form, `x`.

use std::fmt;

use serde_json::{Map, Value, json};

use super::model::Model;

/// What a line means.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// A message to send.
    Send(Value),
    /// A message to send as it was typed.
    Raw(String),
    /// Show the objects.
    Tree,
    /// Show the help.
    Help,
    /// Read no further line until an event of this name comes.
    Wait(String),
    /// Nothing.
    Nothing,
}

/// Why a line cannot be sent.
#[derive(Debug, PartialEq)]
pub(super) enum Trouble {
    /// It names an object that is not there, or not yet.
    NoObject(String),
    /// It makes no sense.
    Wrong(String),
}

impl From<String> for Trouble {
    fn from(text: String) -> Self {
        Self::Wrong(text)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoObject(id) => write!(f, "there is no {id}; `tree` shows what there is"),
            Self::Wrong(text) => f.write_str(text),
        }
    }
}

/// One short form: the word, the rest of the line in words, and the command.
struct Form {
    word: &'static str,
    /// Members of `data`: `name`, `name?` for one that may be missing, `name…` for the rest of the line. The first word
    /// is the object unless the command goes to the session.
    arguments: &'static [&'static str],
    command: &'static str,
    /// Where in `data` the members are, if not at its top.
    inside: Option<&'static str>,
}

const fn form(word: &'static str, command: &'static str, arguments: &'static [&'static str]) -> Form {
    Form { word, arguments, command, inside: None }
}

const fn inside(inside: &'static str, form: Form) -> Form {
    Form { inside: Some(inside), ..form }
}

const FORMS: &[Form] = &[
    inside("channel", form("addchannel", "session.request.addchannel", &["type", "endpoint"])),
    inside("channel", form("removechannel", "session.request.removechannel", &["id"])),
    inside("channelgroup", form("addgroup", "session.request.addchannelgroup", &["name"])),
    inside("channelgroup", form("removegroup", "session.request.removechannelgroup", &["id"])),
    form("logout", "session.request.logout", &[]),
    form("activateall", "channelgroup.request.activateall", &[]),
    form("deactivateall", "channelgroup.request.deactivateall", &[]),
    inside("channeloptions", form("activate", "channel.request.activate", &["queue?"])),
    form("deactivate", "channel.request.deactivate", &[]),
    form("ready", "channel.request.ready", &[]),
    form("notready", "channel.request.notready", &["reasoncode", "reasondesc…"]),
    form("dial", "channel.request.dial", &["destination"]),
    form("accept", "interaction.request.accept", &[]),
    form("reject", "interaction.request.reject", &[]),
    form("set", "interaction.request.setinteractiondata", &["key", "value…"]),
    form("disposition", "interaction.request.setdisposition", &["disposition…"]),
    form("complete", "interaction.request.complete", &[]),
    form("consult", "interaction.request.consult", &["destination"]),
    form("alternate", "interaction.request.alternate", &[]),
    form("transfer", "interaction.request.consulttransfer", &[]),
    form("conference", "interaction.request.consultconference", &[]),
    form("answer", "conversation.request.answer", &[]),
    form("release", "conversation.request.release", &[]),
    form("hold", "conversation.request.hold", &[]),
    form("retrieve", "conversation.request.retrieve", &[]),
    form("mute", "conversation.request.mute", &[]),
    form("unmute", "conversation.request.unmute", &[]),
    form("dtmf", "conversation.request.senddtmf", &["digits"]),
    form("blindtransfer", "conversation.request.blindtransfer", &["destination"]),
    form("blindconference", "conversation.request.blindconference", &["destination"]),
];

/// The help that `help` shows.
pub(super) fn help() -> String {
    let mut text =
        "An object is named by its id (c1, i2, v3; `tree` shows all), the newest of a kind by g, c, i or v.\n"
            .to_owned();
    for form in FORMS {
        let arguments = form.arguments.iter().map(|name| match name.strip_suffix('?') {
            Some(name) => format!("[{}]", name.to_uppercase()),
            None => name.to_uppercase(),
        });
        let words: Vec<String> = std::iter::once(form.word.to_owned())
            .chain(object_name(form).map(str::to_owned))
            .chain(arguments)
            .collect();
        text.push_str(&format!("  {:<40} {}\n", words.join(" "), form.command));
    }
    text.push_str(
        "  record INTERACTION start|stop|pause|resume\n\
         \x20 x [OBJECT] PLATFORM.VERB [JSON]          a command of the adapter's own, to the session or an object\n\
         \x20 wait EVENT                               read on when this event comes, such as interaction.created\n\
         \x20 tree · help · {…} a message as raw JSON · the end of the input logs out\n",
    );
    text
}

fn object_name(form: &Form) -> Option<&'static str> {
    match form.command.split('.').next() {
        Some("channelgroup") => Some("GROUP"),
        Some("channel") => Some("CHANNEL"),
        Some("interaction") => Some("INTERACTION"),
        Some("conversation") => Some("CONVERSATION"),
        _ => None,
    }
}

/// Reads one line. The error is one sentence for the terminal.
pub(super) fn read(line: &str, model: &Model) -> Result<Line, Trouble> {
    let line = line.trim();
    let (word, rest) = split(line);
    match word {
        "" => return Ok(Line::Nothing),
        "help" | "?" => return Ok(Line::Help),
        "tree" => return Ok(Line::Tree),
        "wait" if !rest.is_empty() => return Ok(Line::Wait(rest.to_owned())),
        "x" => return extension(rest, model).map(Line::Send),
        "record" => return record(rest, model).map(Line::Send),
        _ if word.starts_with('#') => return Ok(Line::Nothing),
        _ if word.starts_with('{') => return Ok(Line::Raw(line.to_owned())),
        _ => {}
    }
    let form = FORMS.iter().find(|form| form.word == word);
    let form = form.ok_or_else(|| format!("{word}: there is no such short form; `help` lists them"))?;
    standard(form, rest, model).map(Line::Send)
}

fn split(text: &str) -> (&str, &str) {
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

fn standard(form: &Form, rest: &str, model: &Model) -> Result<Value, Trouble> {
    let (target, mut rest) = match object_name(form) {
        None => (model.find("S")?.0, rest),
        Some(object) => {
            let (id, rest) = split(rest);
            if id.is_empty() {
                return Err(format!("{}: {object} is missing", form.word).into());
            }
            (model.find(id)?.0, rest)
        }
    };
    let mut members = Map::new();
    for argument in form.arguments {
        let name = argument.trim_end_matches(['?', '…']);
        let (value, remaining) = if argument.ends_with('…') { (rest, "") } else { split(rest) };
        rest = remaining;
        if !value.is_empty() {
            members.insert(name.to_owned(), value.into());
        } else if !argument.ends_with('?') && name != "reasondesc" {
            return Err(format!("{}: {} is missing", form.word, name.to_uppercase()).into());
        }
    }
    if !rest.is_empty() {
        return Err(format!("{}: {rest:?} is too much", form.word).into());
    }
    if form.word == "addgroup" {
        members.insert("chat".to_owned(), true.into());
        members.insert("email".to_owned(), true.into());
    }
    let data = match form.inside {
        Some(_) if members.is_empty() => json!({}),
        Some(inside) => json!({ inside: members }),
        None => members.into(),
    };
    Ok(json!({"command": form.command, "target": target, "data": data}))
}

fn record(rest: &str, model: &Model) -> Result<Value, Trouble> {
    let (id, action) = split(rest);
    if !["start", "stop", "pause", "resume"].contains(&action) {
        return Err("record INTERACTION start|stop|pause|resume".to_owned().into());
    }
    let command = format!("interaction.request.recording.{action}");
    Ok(json!({"command": command, "target": model.find(id)?.0, "data": {}}))
}

/// A command of the adapter's own.
const X_FORM: &str = "x [OBJECT] PLATFORM.VERB [JSON]";

fn extension(rest: &str, model: &Model) -> Result<Value, Trouble> {
    let (first, after) = split(rest);
    let (object, name, json) = if first.contains('.') {
        ("S", first, after)
    } else {
        let (name, json) = split(after);
        (first, name, json)
    };
    if !name.contains('.') {
        return Err(X_FORM.to_owned().into());
    }
    let (target, kind) = model.find(object)?;
    let data: Value = match json {
        "" => json!({}),
        text => {
            serde_json::from_str(text).map_err(|error| format!("the data of {name}: {error}; the form is: {X_FORM}"))?
        }
    };
    Ok(json!({"command": format!("{kind}.request.{name}"), "target": target, "data": data}))
}

#[cfg(test)]
mod tests {
    use jackfield_plugin_api::command::STANDARD_COMMANDS;

    use super::*;

    fn model() -> Model {
        let mut model = Model::default();
        model.set_session("abc");
        let created = |kind: &str, target: &str, id: &str| json!({"name": format!("{kind}.created"), "target": target, "data": {kind: {"id": id}}});
        model.apply(&created("channel", "abc", "c1"));
        model.apply(&created("interaction", "abc.c1", "i1"));
        model.apply(&created("conversation", "abc.c1.i1", "v1"));
        model
    }

    fn sent(line: &str) -> Value {
        match read(line, &model()) {
            Ok(Line::Send(message)) => message,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn short_forms_become_messages() {
        for (line, command, target, data) in [
            ("ready c1", "channel.request.ready", "abc.c1", json!({})),
            (
                "notready c1 lunch a long one",
                "channel.request.notready",
                "abc.c1",
                json!({"reasoncode": "lunch", "reasondesc": "a long one"}),
            ),
            ("notready c1 acw", "channel.request.notready", "abc.c1", json!({"reasoncode": "acw"})),
            ("activate c1", "channel.request.activate", "abc.c1", json!({})),
            ("activate c1 q", "channel.request.activate", "abc.c1", json!({"channeloptions": {"queue": "q"}})),
            ("dial c1 5551234", "channel.request.dial", "abc.c1", json!({"destination": "5551234"})),
            ("answer v1", "conversation.request.answer", "abc.c1.i1.v1", json!({})),
            ("consult i1 1002", "interaction.request.consult", "abc.c1.i1", json!({"destination": "1002"})),
            ("record i1 pause", "interaction.request.recording.pause", "abc.c1.i1", json!({})),
            (
                "addgroup all",
                "session.request.addchannelgroup",
                "abc",
                json!({"channelgroup": {"name": "all", "chat": true, "email": true}}),
            ),
            (
                "addchannel Telephony 1001",
                "session.request.addchannel",
                "abc",
                json!({"channel": {"type": "Telephony", "endpoint": "1001"}}),
            ),
            ("x any.inbound {\"a\":1}", "session.request.any.inbound", "abc", json!({"a": 1})),
            ("x c1 any.skill", "channel.request.any.skill", "abc.c1", json!({})),
        ] {
            assert_eq!(sent(line), json!({"command": command, "target": target, "data": data}), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_said_and_not_sent() {
        for line in
            ["fly c1", "ready", "ready c9", "dial c1", "dial c1 1 2", "record i1 louder", "x", "x c1", "x a.b {"]
        {
            assert!(read(line, &model()).is_err(), "{line}");
        }
        assert_eq!(read("  # a comment", &model()), Ok(Line::Nothing));
        assert_eq!(read(" {\"command\":1}", &model()), Ok(Line::Raw("{\"command\":1}".to_owned())));
    }

    #[test]
    fn every_standard_command_has_a_short_form() {
        for command in STANDARD_COMMANDS {
            let known = FORMS.iter().any(|form| form.command == *command);
            assert!(known || command.starts_with("interaction.request.recording."), "{command}");
            assert!(known && help().contains(command) || command.contains(".recording."), "{command}");
        }
    }
}
