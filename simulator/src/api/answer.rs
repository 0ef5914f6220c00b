//! An answer before it is put on the wire, so that faults can still spoil it.

use serde_json::{Value, json};

use crate::state::settings::Settings;

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// Headers besides the content type.
    pub headers: Vec<(String, String)>,
    pub content: Content,
    /// The client that the call was about, where it is known.
    pub client_id: Option<String>,
}

/// An answer's body.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// No body.
    None,
    /// JSON.
    Json(Value),
    /// Text of that content type.
    Text {
        /// The `Content-Type`.
        content_type: String,
        text: String,
    },
}

impl Answer {
    /// A JSON answer.
    pub fn json(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), content: Content::Json(body), client_id: None }
    }

    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), content: Content::None, client_id: None }
    }

    /// A text answer.
    pub fn text(status: u16, content_type: &str, text: impl Into<String>) -> Self {
        let content = Content::Text { content_type: content_type.to_owned(), text: text.into() };
        Self { status, headers: Vec::new(), content, client_id: None }
    }

    /// An error in the form that this server gives all of them.
    pub fn error(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self::json(status, json!({"error": code, "message": message.into()}))
    }

    /// The answer with one more header.
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The answer, about a client.
    pub fn about(mut self, client_id: &str) -> Self {
        self.client_id = Some(client_id.to_owned());
        self
    }

    /// The answer under a status that may have a body, which a fault is about to spoil: a 204 has none.
    pub fn with_room_for_a_body(mut self) -> Self {
        if self.status == 204 {
            self.status = 200;
        }
        self
    }

    /// The answer, but an error is given in the form that the project's settings ask for.
    pub fn with_errors_as(self, settings: &Settings) -> Self {
        match (settings.text_errors, settings.nested_errors) {
            (true, _) => self.with_text_errors(),
            (false, true) => self.with_nested_errors(),
            (false, false) => self,
        }
    }

    // RFC 6749 calls the message `error_description`.
    fn with_nested_errors(mut self) -> Self {
        if let (400.., Content::Json(Value::Object(body))) = (self.status, &self.content)
            && let Some(code) = body.get("error")
            && let Some(message) = body.get("message").or_else(|| body.get("error_description"))
        {
            self.content = Content::Json(json!({"error": {"code": code, "message": message}}));
        }
        self
    }

    fn with_text_errors(mut self) -> Self {
        if let (400.., Content::Json(Value::Object(body))) = (self.status, &self.content)
            && let Some(message) = body.get("message").and_then(Value::as_str)
        {
            self.content = Content::Text { content_type: "text/plain".to_owned(), text: message.to_owned() };
        }
        self
    }
}
