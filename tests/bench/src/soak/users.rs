//! What people do during a soak: in YAML, in Kubernetes, and at MeshAgent. What the servers refuse, people try again later.

use harness::Random;
use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject};
use simulator::admin::ClientFields;

use crate::mass;
use crate::stage::Stage;

/// How many names there are; about half of them are clients at a time.
const NAMES: u64 = 60;

/// Does one thing to one client.
pub async fn act(stage: &Stage, random: &mut Random) {
    let name = format!("web-{}", random.below(NAMES));
    let (what, number) = (random.below(20), i64::try_from(random.below(1_000_000)).unwrap_or_default());
    let found = stage.objects().get_opt(&name).await.ok().flatten();
    // A refusal may be an outage that the soak itself has caused; the invariants say whether anything was lost.
    match (found, what) {
        (None, _) => drop(mass::create(stage, &name, "default").await),
        (Some(_), 0..=7) => drop(mass::edit(stage, &name, number).await),
        (Some(_), 8..=10) => drop(mass::rotate(stage, &name, &number.to_string()).await),
        (Some(_), 11..=16) => drop(stage.objects().delete(&name, &DeleteParams::default()).await),
        (Some(_), 17) => drop(stage.secrets().delete(&format!("{name}-oauth"), &DeleteParams::default()).await),
        (Some(object), _) => edit_at_meshagent(stage, &object, number).await,
    }
}

/// Changes a client behind the operator's back.
async fn edit_at_meshagent(stage: &Stage, object: &DynamicObject, number: i64) {
    if let (Ok(project), Some(client_id)) = (stage.project(), object.data["status"]["clientId"].as_str()) {
        let redirect_uris = Some(vec![format!("https://{}.example.com/{number}", object.name_any())]);
        let fields = ClientFields { redirect_uris, ..ClientFields::default() };
        drop(stage.admin.edit_client(project, client_id, &fields).await);
    }
}
