//! How an answer's body is spoilt.

use serde_json::{Value, json};

use super::Malformed;
use crate::api::answer::{Answer, Content};

const PAGE: &str = "<!doctype html><html><body><h1>It works!</h1></body></html>";

/// The answer with a body of that form.
pub fn spoil(mut answer: Answer, form: Malformed) -> Answer {
    let body = match &answer.content {
        Content::Json(body) => body.clone(),
        Content::None | Content::Text { .. } => json!({}),
    };
    answer.content = match form {
        Malformed::Html => Content::Text { content_type: "text/html".to_owned(), text: PAGE.to_owned() },
        Malformed::Empty => Content::None,
        Malformed::BrokenJson => {
            let text = body.to_string();
            let half = text.chars().take(text.chars().count() / 2).collect();
            Content::Text { content_type: "application/json".to_owned(), text: half }
        }
        Malformed::NoSecret => Content::Json(for_each_client(body, |client| drop(client.remove("client_secret")))),
        Malformed::NoId => Content::Json(for_each_client(body, |client| drop(client.remove("client_id")))),
        Malformed::Nulls => Content::Json(for_each_client(body, |client| {
            let kept = ["client_id", "client_secret"];
            client.iter_mut().filter(|(name, _)| !kept.contains(&name.as_str())).for_each(|(_, v)| *v = Value::Null);
        })),
        Malformed::UnknownFields => Content::Json(for_each_client(body, |client| {
            client.insert("x_unknown".to_owned(), json!({"nested": [1, null]}));
            if let Some(Value::Object(metadata)) = client.get_mut("metadata") {
                metadata.insert("x_number".to_owned(), 7.into());
                metadata.insert("x_null".to_owned(), Value::Null);
            }
        })),
    };
    answer.with_room_for_a_body()
}

fn for_each_client(mut body: Value, change: impl Fn(&mut serde_json::Map<String, Value>)) -> Value {
    if let Some(Value::Array(clients)) = body.get_mut("clients") {
        clients.iter_mut().filter_map(Value::as_object_mut).for_each(change);
    } else if let Some(Value::Object(client)) = body.get_mut("client") {
        change(client);
    } else if let Value::Object(client) = &mut body {
        change(client);
    }
    body
}
