//! As much of JSON Schema as `openapi.json` uses.

use serde_json::Value;

/// Holds a value to a schema; a key that the schema does not name is an error too, so that the description stays whole.
pub(super) fn check(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = &document["components"]["schemas"][name.rsplit('/').next().unwrap()];
        assert!(target.is_object(), "{name} is described nowhere");
        return check(document, target, value, at);
    }
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value} is none of {words:?}");
    }
    let fits = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some(other) => panic!("{at}: the type {other}"),
    };
    assert!(fits, "{at}: {value} is no {}", schema["type"]);
    for required in schema["required"].as_array().into_iter().flatten() {
        assert!(value.get(required.as_str().unwrap()).is_some(), "{at}: {required} is missing in {value}");
    }
    for element in value.as_array().into_iter().flatten() {
        check(document, &schema["items"], element, &format!("{at}[]"));
    }
    for (key, part) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{key}");
        match (schema["properties"].get(key), schema.get("additionalProperties")) {
            (Some(described), _) | (None, Some(described)) => check(document, described, part, &at),
            (None, None) => assert!(schema.get("properties").is_none(), "{at} is not described"),
        }
    }
}
