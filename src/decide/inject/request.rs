//! What a pod asks for, by its label and its annotations.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::Pod;

use crate::api::names::{
    CONTAINERS_ANNOTATION, INJECT_AS_ANNOTATION, INJECT_KEYS_ANNOTATION, INJECTED_ANNOTATION, OAUTH_CLIENT_LABEL,
    OAUTH_CLIENTS_ANNOTATION, SECRET_KEYS_ANNOTATION, SECRET_NAME_ANNOTATION,
};
use crate::decide::problem::{InvalidSpec, Problems};
use crate::decide::published::{Published, secret_of_pod};
use crate::decide::syntax::{self, Fault};

/// The volume with the Secret of a pod that gets files.
pub(super) const VOLUME: &str = "meshagent-oauth";

/// How a container gets a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As variables.
    Env,
    /// As files, which a rotation changes without a restart.
    File,
}

impl Form {
    /// The form that an annotation or a flag names by this word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "env" => Some(Self::Env),
            "file" => Some(Self::File),
            _ => None,
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Env => "env",
            Self::File => "file",
        })
    }
}

/// What a pod asks for.
pub(super) struct Request<'a> {
    pub(super) secret: String,
    pub(super) form: Form,
    /// The values that containers get as variables, each with its data key in the Secret, in order.
    pub(super) values: Vec<(Published, String)>,
    /// The only containers that get something, if the pod names them.
    pub(super) containers: Option<Vec<&'a str>>,
    /// The containers that were chosen when the pod came by before.
    pub(super) recorded: Option<Vec<&'a str>>,
    /// Whether the pod asks for credentials of several OAuthClients, which is not possible yet.
    pub(super) is_for_several: bool,
}

impl<'a> Request<'a> {
    /// Reads label and annotations; `None` without the label.
    pub(super) fn read(pod: &'a Pod, default: Form) -> Result<Option<Self>, InvalidSpec> {
        let Some(client) = pod.metadata.labels.as_ref().and_then(|labels| labels.get(OAUTH_CLIENT_LABEL)) else {
            return Ok(None);
        };
        let annotations = Annotations(pod.metadata.annotations.as_ref());
        let mut problems = Problems::default();
        problems.check(&format!("metadata.labels[{OAUTH_CLIENT_LABEL}]"), syntax::client_name(client));
        let secret = secret_of_pod(client, annotations.get(SECRET_NAME_ANNOTATION));
        problems.check(&field(SECRET_NAME_ANNOTATION), syntax::object_name(&secret));
        let form = annotations.form(default, &mut problems);
        let values = annotations.values(&mut problems);
        let request = Self {
            secret,
            form,
            values,
            containers: annotations.list(CONTAINERS_ANNOTATION, &mut problems),
            recorded: annotations.get(INJECTED_ANNOTATION).and_then(read_record).map(|(_, containers)| containers),
            is_for_several: annotations.get(OAUTH_CLIENTS_ANNOTATION).is_some(),
        };
        problems.or(Some(request))
    }

    /// The pod's record of what it was given.
    pub(super) fn record<'n>(&self, containers: impl Iterator<Item = &'n str>) -> String {
        format!("{}:{}", self.form, containers.collect::<Vec<_>>().join(","))
    }

    /// Refuses a pod that has a volume of our name for something else: its containers would read that.
    pub(super) fn check_volume(&self, pod: &Pod) -> Result<(), InvalidSpec> {
        let mut volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let is_other = volumes.any(|volume| {
            let of = volume.secret.as_ref().and_then(|secret| secret.secret_name.as_ref());
            volume.name == VOLUME && of != Some(&self.secret)
        });
        let mut problems = Problems::default();
        if is_other {
            let problem = format!("has a volume called {VOLUME} that is not the Secret {}", self.secret);
            problems.refuse("spec.volumes", problem, "give that volume another name".to_owned());
        }
        problems.or(())
    }
}

/// The form and the containers of the webhook's record on a pod, if it is one.
#[must_use]
pub fn read_record(record: &str) -> Option<(Form, Vec<&str>)> {
    let (form, names) = record.split_once(':')?;
    Some((Form::of(form)?, names.split(',').filter(|name| !name.is_empty()).collect()))
}

fn field(annotation: &str) -> String {
    format!("metadata.annotations[{annotation}]")
}

/// The annotations of a pod.
struct Annotations<'a>(Option<&'a BTreeMap<String, String>>);

impl<'a> Annotations<'a> {
    fn get(&self, annotation: &str) -> Option<&'a str> {
        self.0?.get(annotation).map(|text| text.trim())
    }

    /// The form of the credential. Values that are chosen, and data keys that are named, are those of variables.
    fn form(&self, default: Form, problems: &mut Problems) -> Form {
        let for_variables = [INJECT_KEYS_ANNOTATION, SECRET_KEYS_ANNOTATION];
        let for_variables = for_variables.into_iter().find(|annotation| self.get(annotation).is_some());
        let Some(word) = self.get(INJECT_AS_ANNOTATION) else {
            return if for_variables.is_some() { Form::Env } else { default };
        };
        problems.one_of(&field(INJECT_AS_ANNOTATION), word, &["env", "file"]);
        let form = Form::of(word).unwrap_or(default);
        if let (Form::File, Some(annotation)) = (form, for_variables) {
            let problem = format!("is file, which brings the whole Secret, but {annotation} chooses variables");
            problems.refuse(&field(INJECT_AS_ANNOTATION), problem, "remove one of the two annotations".to_owned());
        }
        form
    }

    /// The values that are wanted, each with its data key.
    fn values(&self, problems: &mut Problems) -> Vec<(Published, String)> {
        let keys = self.data_keys(problems);
        let chosen = self.chosen(problems);
        let mut values = Vec::new();
        for value in Published::ALL {
            let is_named = chosen.as_ref().is_some_and(|chosen| chosen.contains(&value));
            let key = keys.get(&value).map_or(value.data_key(), String::as_str);
            if key.is_empty() && is_named {
                let problem = format!("names {}, which {SECRET_KEYS_ANNOTATION} says the Secret lacks", value.field());
                let fix = "take it out of one of the two annotations".to_owned();
                problems.refuse(&field(INJECT_KEYS_ANNOTATION), problem, fix);
            }
            if !key.is_empty() && (is_named || chosen.is_none()) {
                values.push((value, key.to_owned()));
            }
        }
        values
    }

    /// The values that the pod names, if it does.
    fn chosen(&self, problems: &mut Problems) -> Option<Vec<Published>> {
        let words = self.list(INJECT_KEYS_ANNOTATION, problems)?;
        let chosen: Vec<_> = words.iter().filter_map(|word| named(INJECT_KEYS_ANNOTATION, word, problems)).collect();
        if chosen.contains(&Published::ClientSecret) && !chosen.contains(&Published::ClientId) {
            let problem = "names clientSecret without clientId: a container never gets half a credential".to_owned();
            problems.refuse(&field(INJECT_KEYS_ANNOTATION), problem, "add clientId".to_owned());
        }
        Some(chosen)
    }

    /// The data keys that the pod names, by value; an empty one leaves the value out.
    fn data_keys(&self, problems: &mut Problems) -> BTreeMap<Published, String> {
        let mut keys = BTreeMap::new();
        let at = field(SECRET_KEYS_ANNOTATION);
        for entry in self.list(SECRET_KEYS_ANNOTATION, problems).unwrap_or_default() {
            let Some((word, key)) = entry.split_once('=') else {
                let problem = "holds an entry that is not a value and its data key".to_owned();
                problems.refuse(&at, problem, "write them like clientId=ID,clientSecret=SECRET,scopes=".to_owned());
                continue;
            };
            let Some(value) = named(SECRET_KEYS_ANNOTATION, word.trim(), problems) else { continue };
            let key = key.trim();
            if !key.is_empty() || value.is_credential() {
                problems.check(&at, syntax::data_key(key));
            }
            if keys.insert(value, key.to_owned()).is_some() {
                let problem = format!("names {} twice", value.field());
                problems.refuse(&at, problem, "keep one of the two".to_owned());
            }
        }
        keys
    }

    /// The words of an annotation, if it is there.
    fn list(&self, annotation: &str, problems: &mut Problems) -> Option<Vec<&'a str>> {
        let words: Vec<&str> =
            self.get(annotation)?.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            let fault = Fault { problem: "names nothing", fix: "name something, or remove the annotation" };
            problems.check(&field(annotation), Err(fault));
        }
        Some(words)
    }
}

/// The value that an annotation names by this word.
fn named(annotation: &str, word: &str, problems: &mut Problems) -> Option<Published> {
    let value = Published::ALL.into_iter().find(|value| value.field() == word);
    if value.is_none() {
        problems.one_of(&field(annotation), word, &Published::ALL.map(Published::field));
    }
    value
}
