//! What people do during a soak: in YAML, in Kubernetes, and at MeshAgent. What the servers refuse, people try again later.

use std::collections::BTreeSet;

use harness::Random;
use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject};
use simulator::admin::ClientFields;

use crate::mass;
use crate::stage::Stage;

/// How many names there are; about half of them are clients at a time.
const NAMES: u64 = 60;

/// People, who remember what they did.
#[derive(Default)]
pub struct Users {
    /// The uids of OAuthClients whose client was replaced: a second time would have to wait for ten minutes.
    replaced: BTreeSet<String>,
}

impl Users {
    /// Does one thing to one client.
    pub async fn act(&mut self, stage: &Stage, random: &mut Random) {
        let name = format!("web-{}", random.below(NAMES));
        let (what, number) = (random.below(40), i64::try_from(random.below(1_000_000)).unwrap_or_default());
        // A refusal may be an outage that the soak itself has caused; the invariants say whether anything was lost.
        let Some(object) = stage.objects().get_opt(&name).await.ok().flatten() else {
            drop(mass::create(stage, &name, "default").await);
            return;
        };
        match what {
            0..=15 => drop(mass::edit(stage, &name, number).await),
            16..=27 => drop(stage.objects().delete(&name, &DeleteParams::default()).await),
            28..=31 => edit_at_meshagent(stage, &object, number).await,
            _ if !self.may_replace(&object) => {}
            32..=37 => drop(mass::rotate(stage, &name, &number.to_string()).await),
            38 => drop(stage.secrets().delete(&format!("{name}-oauth"), &DeleteParams::default()).await),
            _ => delete_at_meshagent(stage, &object).await,
        }
    }

    /// Whether the client of this object may be replaced, and was not yet.
    fn may_replace(&mut self, object: &DynamicObject) -> bool {
        client_id(object).is_some() && self.replaced.insert(object.uid().unwrap_or_default())
    }
}

/// Changes a client behind the operator's back.
async fn edit_at_meshagent(stage: &Stage, object: &DynamicObject, number: i64) {
    if let (Ok(project), Some(client_id)) = (stage.project(), client_id(object)) {
        let redirect_uris = Some(vec![format!("https://{}.example.com/{number}", object.name_any())]);
        let fields = ClientFields { redirect_uris, ..ClientFields::default() };
        drop(stage.admin.edit_client(project, client_id, &fields).await);
    }
}

/// Deletes a client behind the operator's back: its OAuthClient is to get another one.
async fn delete_at_meshagent(stage: &Stage, object: &DynamicObject) {
    if let (Ok(project), Some(client_id)) = (stage.project(), client_id(object)) {
        drop(stage.admin.delete_client(project, client_id).await);
    }
}

fn client_id(object: &DynamicObject) -> Option<&str> {
    object.data["status"]["clientId"].as_str()
}
