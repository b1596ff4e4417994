//! The short forms of `jackfield agent`: one line of words to one message of the protocol.
//!
//! The commands of the protocol declare what there is; the help is made of it. No platform is known here: an adapter's
//! own commands have one generic form, `x`.

use std::fmt;

use serde_json::{Map, Value, json};

use jackfield_plugin_api::command::ObjectKind;
use jackfield_protocol::command::{ProtocolCommand, ShortForm};

use super::model::Model;

/// What a line means.
#[derive(Debug, PartialEq)]
pub(super) enum InputLine {
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
pub(super) enum InputError {
    /// It names an object that is not there, or not yet.
    NoObject(String),
    /// It makes no sense.
    Wrong(String),
}

impl From<String> for InputError {
    fn from(text: String) -> Self {
        Self::Wrong(text)
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoObject(id) => write!(f, "there is no {id}; `tree` shows what there is"),
            Self::Wrong(text) => f.write_str(text),
        }
    }
}

/// One short form of a command of the protocol.
struct Form {
    command: ProtocolCommand,
    short: ShortForm,
}

/// All of them; the protocol's commands declare them.
fn forms() -> impl Iterator<Item = Form> {
    ProtocolCommand::all().filter_map(|command| Some(Form { command, short: command.specification().short? }))
}

/// The help that `help` shows.
pub(super) fn help() -> String {
    let mut text =
        "An object is named by its id (c1, i2, v3; `tree` shows all), the newest of a kind by g, c, i or v.\n"
            .to_owned();
    let mut row = |words: &str, summary: &str| text.push_str(&format!("  {words:<44} {summary}\n"));
    for form in forms() {
        let arguments = form.short.arguments.iter().map(|argument| Argument::of(argument).to_string());
        let words: Vec<String> = std::iter::once(form.short.word.to_owned())
            .chain(object_name(&form).map(str::to_owned))
            .chain(arguments)
            .collect();
        row(&words.join(" "), form.command.specification().summary);
    }
    row(X_FORM, "a command of the adapter's own, to the session or an object");
    row("wait EVENT", "read on when this event comes, such as interaction.created");
    row("{…}", "a message of the protocol, sent as it is");
    row("tree", "show all objects with their states");
    row("help", "show this");
    text.push_str("The end of the input logs out.\n");
    text
}

fn object_name(form: &Form) -> Option<&'static str> {
    match form.command.object() {
        ObjectKind::ChannelGroup => Some("GROUP"),
        ObjectKind::Channel => Some("CHANNEL"),
        ObjectKind::Interaction => Some("INTERACTION"),
        ObjectKind::Conversation => Some("CONVERSATION"),
        _ => None,
    }
}

/// One argument of a short form.
struct Argument<'a> {
    name: &'a str,
    /// It stands for itself.
    is_literal: bool,
    may_be_missing: bool,
    /// It is the rest of the line.
    is_rest: bool,
}

impl<'a> Argument<'a> {
    fn of(declared: &'a str) -> Self {
        let name = declared.trim_matches(['=', '?', '…']);
        let has = |mark| declared.contains(mark);
        Self { name, is_literal: has('='), may_be_missing: has('?'), is_rest: has('…') }
    }
}

impl fmt::Display for Argument<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.is_literal { self.name.to_owned() } else { self.name.to_uppercase() };
        let rest = if self.is_rest { "…" } else { "" };
        if self.may_be_missing { write!(f, "[{name}{rest}]") } else { write!(f, "{name}{rest}") }
    }
}

/// Reads one line. The error is one sentence for the terminal.
pub(super) fn read(line: &str, model: &Model) -> Result<InputLine, InputError> {
    let line = line.trim();
    let (word, rest) = split(line);
    match word {
        "" => return Ok(InputLine::Nothing),
        "help" | "?" => return Ok(InputLine::Help),
        "tree" => return Ok(InputLine::Tree),
        "wait" if !rest.is_empty() => return Ok(InputLine::Wait(rest.to_owned())),
        "x" => return extension(rest, model).map(InputLine::Send),
        _ if word.starts_with('#') => return Ok(InputLine::Nothing),
        _ if word.starts_with('{') => return Ok(InputLine::Raw(line.to_owned())),
        _ => {}
    }
    let mut trouble = InputError::Wrong(format!("{word}: there is no such short form; `help` lists them"));
    // Several forms may begin with the same word and go on with another one.
    for form in forms().filter(|form| form.short.word == word) {
        match standard(&form, rest, model) {
            Ok(message) => return Ok(InputLine::Send(message)),
            Err(own) => trouble = own,
        }
    }
    Err(trouble)
}

fn split(text: &str) -> (&str, &str) {
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

fn standard(form: &Form, rest: &str, model: &Model) -> Result<Value, InputError> {
    let (target, mut rest) = match object_name(form) {
        None => (model.find("S")?.0, rest),
        Some(object) => {
            let (id, rest) = split(rest);
            if id.is_empty() {
                return Err(format!("{}: {object} is missing", form.short.word).into());
            }
            (model.find(id)?.0, rest)
        }
    };
    let word = form.short.word;
    let mut members = Map::new();
    for argument in form.short.arguments.iter().map(|declared| Argument::of(declared)) {
        let (value, remaining) = if argument.is_rest { (rest, "") } else { split(rest) };
        rest = remaining;
        if argument.is_literal {
            if value != argument.name {
                return Err(format!("{word}: {value:?} is not how it goes on; `help` shows it").into());
            }
        } else if !value.is_empty() {
            members.insert(argument.name.to_owned(), value.into());
        } else if !argument.may_be_missing {
            return Err(format!("{word}: {} is missing", argument.name.to_uppercase()).into());
        }
    }
    if !rest.is_empty() {
        return Err(format!("{word}: {rest:?} is too much").into());
    }
    members.extend(form.short.always.iter().map(|name| ((*name).to_owned(), true.into())));
    let data = match form.short.inside {
        Some(_) if members.is_empty() => json!({}),
        Some(inside) => json!({ inside: members }),
        None => members.into(),
    };
    Ok(json!({"command": form.command.name(), "target": target, "data": data}))
}

/// A command of the adapter's own.
const X_FORM: &str = "x [OBJECT] PLATFORM.VERB [JSON]";

fn extension(rest: &str, model: &Model) -> Result<Value, InputError> {
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
            Ok(InputLine::Send(message)) => message,
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
        assert_eq!(read("  # a comment", &model()), Ok(InputLine::Nothing));
        assert_eq!(read(" {\"command\":1}", &model()), Ok(InputLine::Raw("{\"command\":1}".to_owned())));
    }

    #[test]
    fn the_help_shows_every_short_form() {
        let help = help();
        for line in
            ["record INTERACTION start ", "notready CHANNEL REASONCODE [REASONDESC…]", "activate CHANNEL [QUEUE]"]
        {
            assert!(help.contains(line), "{line} in {help}");
        }
        assert!(forms().all(|form| help.contains(form.command.specification().summary)));
    }
}
