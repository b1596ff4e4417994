//! The objects that `jackfield agent` has been told of, so that `c1` is enough to name one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::short::InputError;

/// The last known of one object.
#[derive(Debug, Default)]
struct Object {
    target: String,
    kind: String,
    label: String,
    state: String,
}

/// All objects of the session, by their ids.
#[derive(Debug, Default)]
pub(super) struct Model {
    session: Option<String>,
    objects: BTreeMap<String, Object>,
}

impl Model {
    /// The session that was prepared.
    pub(super) fn set_session(&mut self, id: &str) {
        self.session = Some(id.to_owned());
        self.objects.clear();
    }

    /// The session's id.
    pub(super) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// The whole target of an object, by its id or as the newest of its kind (`g`, `c`, `i`, `v`), and the first word
    /// of its commands.
    pub(super) fn find(&self, id: &str) -> Result<(&str, &str), InputError> {
        if let Some(session) = self.session.as_deref().filter(|session| *session == id || id == "S") {
            return Ok((session, "session"));
        }
        let newest =
            || self.objects.iter().filter(|(known, _)| known.starts_with(id)).max_by_key(|(id, _)| id_number(id));
        let object = match id {
            "g" | "c" | "i" | "v" => newest().map(|(_, object)| object),
            _ => self.objects.get(id),
        };
        let object = object.ok_or_else(|| InputError::NoObject(id.to_owned()))?;
        Ok((&object.target, &object.kind))
    }

    /// Takes an event in.
    pub(super) fn apply(&mut self, event: &Value) {
        let (Some(name), Some(target)) = (event["name"].as_str(), event["target"].as_str()) else { return };
        let data = &event["data"];
        let Some((kind, what)) = name.split_once('.') else { return };
        match what {
            "created" => {
                let created = &data[kind];
                let Some(id) = created["id"].as_str() else { return };
                let label = ["name", "type", "endpoint", "direction", "role"]
                    .iter()
                    .filter_map(|member| created[*member].as_str())
                    .collect::<Vec<_>>()
                    .join(" ");
                let object =
                    Object { target: format!("{target}.{id}"), kind: kind.to_owned(), label, state: String::new() };
                self.objects.insert(id.to_owned(), object);
            }
            "disposed" => {
                let inside = format!("{target}.");
                self.objects.retain(|_, object| object.target != target && !object.target.starts_with(&inside));
            }
            "updated" => {
                let id = target.rsplit('.').next().unwrap_or(target);
                if let Some(object) = self.objects.get_mut(id) {
                    let parts = ["state", "availability", "calls", "recording"].iter();
                    let parts: Vec<&str> = parts.filter_map(|member| data[*member].as_str()).collect();
                    object.state = parts.join(" ");
                }
            }
            _ => {}
        }
    }

    /// The tree for people, one object a line.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut objects: Vec<_> = self.objects.iter().collect();
        objects.sort_by(|one, other| natural(&one.1.target).cmp(&natural(&other.1.target)));
        objects
            .into_iter()
            .map(|(id, object)| {
                let depth = object.target.matches('.').count();
                format!("{:indent$}{id} {} {}  {}", "", object.kind, object.label, object.state, indent = depth * 2)
            })
            .collect()
    }
}

/// The number in an id: later objects have greater ones.
fn id_number(id: &str) -> Option<u64> {
    id.get(1..)?.parse().ok()
}

/// A target as its parts, so that `c10` stands after `c9`.
fn natural(target: &str) -> Vec<(usize, &str)> {
    target.split('.').map(|part| (part.len(), part)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn model() -> Model {
        let mut model = Model::default();
        model.set_session("abc");
        for (name, target, data) in [
            ("channelgroup.created", "abc", json!({"channelgroup": {"id": "g1", "name": "all"}})),
            ("channel.created", "abc.g1", json!({"channel": {"id": "c2", "type": "Telephony", "endpoint": "1001"}})),
            ("state.updated", "abc.g1.c2", json!({"state": "ACTIVE", "availability": "READY"})),
            ("interaction.created", "abc.g1.c2", json!({"interaction": {"id": "i1", "type": "Telephony"}})),
        ] {
            model.apply(&json!({"messageType": "objectEvent", "name": name, "target": target, "data": data}));
        }
        model
    }

    #[test]
    fn an_id_is_enough_to_name_an_object() {
        let model = model();
        assert_eq!(model.find("c2"), Ok(("abc.g1.c2", "channel")));
        assert_eq!(model.find("i1"), Ok(("abc.g1.c2.i1", "interaction")));
        assert_eq!(model.find("S"), Ok(("abc", "session")));
        assert_eq!(model.find("i"), Ok(("abc.g1.c2.i1", "interaction")), "the newest interaction");
        assert!(model.find("c9").is_err());
        assert!(model.lines().iter().any(|line| line.contains("c2 channel Telephony 1001  ACTIVE READY")));
    }

    #[test]
    fn what_is_disposed_of_goes_with_all_that_is_in_it() {
        let mut model = model();
        model.apply(&json!({"name": "channelgroup.disposed", "target": "abc.g1", "data": {}}));
        assert!(model.find("g1").is_err() && model.find("c2").is_err() && model.find("i1").is_err());
    }
}
