use std::sync::{Arc, Mutex};

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(format: LogFormat, level: &str, events: impl FnOnce()) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = subscriber(format, &level.parse().unwrap(), false, move || writer.clone());
    tracing::subscriber::with_default(subscriber, events);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn text_is_one_line_an_event() {
    let text = logged(LogFormat::Text, "info", || {
        tracing::info!(client = "shop/web", "created");
        tracing::debug!("not asked for");
    });
    assert_eq!(text.lines().count(), 1);
    assert!(text.ends_with("created client=\"shop/web\"\n"), "{text}");
}

#[test]
fn json_is_one_object_an_event_with_its_fields() {
    let text = logged(LogFormat::Json, "info", || tracing::warn!(client = "shop/web", "refused"));
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!([&line["level"], &line["message"], &line["client"]], ["WARN", "refused", "shop/web"]);
}

#[test]
fn libraries_are_quiet_unless_they_are_named() {
    let events = || {
        tracing::debug!(target: "kube_runtime::controller", "chatter");
        tracing::error!(target: "kube_client::client::builder", "failed with status 503");
        tracing::warn!(target: "kube_runtime::watcher", "forbidden");
    };
    let general = logged(LogFormat::Text, "debug", events);
    assert_eq!(general.lines().count(), 1, "{general}");
    assert!(general.ends_with("forbidden\n"), "{general}");

    let named = logged(LogFormat::Text, "error,kube_runtime=debug,kube_client::client::builder=error", events);
    assert_eq!(named.lines().count(), 3, "{named}");
}

#[test]
fn a_general_level_below_warnings_holds_for_libraries_too() {
    let text = logged(LogFormat::Text, "error", || {
        tracing::warn!(target: "kube_runtime::watcher", "forbidden");
    });
    assert_eq!(text, "");
}

/// kube logs the body of an answer that it cannot read, as a warning: of a Secret, its data.
#[test]
fn the_body_of_an_unreadable_answer_is_never_logged() {
    for level in ["trace", "trace,kube_client=trace", "trace,kube_client::client=trace"] {
        let text = logged(LogFormat::Json, level, || {
            tracing::warn!(target: "kube_client::client", "{{\"data\":{{\"CLIENT_SECRET\":\"…\"}}}}");
            tracing::info!("control");
        });
        assert!(text.contains("control"), "{level}");
        assert!(!text.contains("CLIENT_SECRET"), "{level}");
    }
}
