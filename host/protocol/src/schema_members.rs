//! What members take that are read by functions of their own, as JSON Schemas.
//!
//! Owns: a schema for each such function, which the types of commands' data name beside it. Only built with the feature
//! `schema`. Must never: allow less than the function does.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::MAX_TEXT;

pub(crate) fn text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1})
}

/// The limit is one of bytes, of which a letter has one or more.
pub(crate) fn short_text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": MAX_TEXT})
}

pub(crate) fn short(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": MAX_TEXT})
}

pub(crate) fn digits(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": "^[0-9*#A-D]+$"})
}

pub(crate) fn reason_code(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["string", "integer"], "minLength": 1, "maxLength": MAX_TEXT})
}

pub(crate) fn reason_number(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["integer", "string"], "pattern": "^[+-]?[0-9]+$"})
}

pub(crate) fn queues(_: &mut SchemaGenerator) -> Schema {
    let one = json!({"type": "string", "maxLength": MAX_TEXT});
    json_schema!({"anyOf": [one, {"type": "array", "items": one}]})
}

pub(crate) fn object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object"})
}

/// `channeloptions` is taken as `channelOptions` too.
pub(crate) fn both_spellings(schema: &mut Schema) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        let options = properties["channeloptions"].clone();
        properties.insert("channelOptions".to_owned(), options);
    }
}

/// One of the members must be there.
pub(crate) fn one_of_both(schema: &mut Schema) {
    schema.insert("anyOf".to_owned(), json!([{"required": ["channel"]}, {"required": ["channelgroup"]}]));
}
