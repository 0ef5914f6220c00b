//! Shows the whole product on a real control plane: each command is printed as a user would type it, then run. `KEEP=1`
//! leaves everything running at the end. The argument `dev` starts everything but the operator, for a developer who
//! changes the operator and starts it anew.

mod stage;
mod webhook;

use std::{env, path::Path, time::Duration};

use harness::{Error, Result, eventually};
use serde_json::Value;
use stage::{NAMESPACE, Stage, explain};

const REDIRECT_URI: &str = "https://shop.example.com/oauth/callback";
const ANOTHER_REDIRECT_URI: &str = "https://www.example.com/oauth/callback";

/// The garbage collector looks for new types every 30 seconds, and only then collects what objects of them own.
const EMPTIED: Duration = Duration::from_secs(90);

#[tokio::main]
async fn main() -> Result<()> {
    // The commands shown name the examples as seen from the repository's top.
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    env::set_current_dir(&top).map_err(|source| Error::Io { doing: format!("entering {}", top.display()), source })?;
    let mut stage = Stage::set_up().await?;
    install(&stage).await?;
    let place = webhook::Place::choose()?;
    if env::args().nth(1).as_deref() == Some("dev") {
        connect(&stage).await?;
        stage.print_how_to_develop()?;
        return until_interrupted().await;
    }
    place.register(&stage).await?;
    stage.start_operator()?;
    let webhook = place.start(&stage).await?;
    connect(&stage).await?;
    declare(&stage).await?;
    use_the_secret(&stage).await?;
    inject(&stage).await?;
    change(&stage).await?;
    restart(&stage).await?;
    webhook.check_running()?;
    if env::var_os("KEEP").is_some_and(|keep| !keep.is_empty() && keep != "0") {
        stage.print_how_to_look_around();
        return until_interrupted().await;
    }
    delete(&stage).await?;
    println!("\n# That is all. Stopping everything. (make demo KEEP=1 leaves it running.)");
    Ok(())
}

async fn until_interrupted() -> Result<()> {
    tokio::signal::ctrl_c().await.map_err(|source| Error::Io { doing: "waiting for Ctrl-C".to_owned(), source })
}

async fn install(stage: &Stage) -> Result<()> {
    let install = "kubectl apply --server-side -k deploy";
    stage.run("Everything that the Helm chart installs, as plain manifests.", install).await
}

/// Gives the operator the simulated project, as the cluster project `default`.
async fn connect(stage: &Stage) -> Result<()> {
    let key = format!(
        "kubectl create secret generic meshagent-api-key -n {NAMESPACE} --from-literal=apiKey=\"$MESHAGENT_API_KEY\""
    );
    stage.run("The project's API key, in a Secret there.", &key).await?;
    let project = "sed \"s|https://api.meshagent.com|$MESHAGENT_API_URL|\" examples/quickstart/project.yaml | \
        kubectl apply -f -";
    stage.run("The project; its URL is the simulator's.", project).await
}

async fn declare(stage: &Stage) -> Result<()> {
    let client = "kubectl apply -f examples/quickstart/web.yaml";
    stage.run("An application's client, as its developer would declare it.", client).await?;
    let wait = "kubectl wait clustermeshagentproject/default --for=condition=Ready --timeout=60s && \
        kubectl wait maoc/web -n shop --for=condition=Ready --timeout=60s";
    stage.run("Wait until both are Ready.", wait).await?;
    stage.run("What the developer sees.", "kubectl get maoc -n shop").await
}

async fn use_the_secret(stage: &Stage) -> Result<()> {
    let describe = "kubectl describe secret web-oauth -n shop";
    stage.run("The Secret that the application mounts; describe shows keys and no value.", describe).await?;
    let sign_in =
        format!("kubectl get secret web-oauth -n shop -o json | signin --secret --redirect-url {REDIRECT_URI}");
    stage.run("A sign-in with it: authorization code with PKCE, by a well-kept OAuth library.", &sign_in).await
}

/// Creates a Deployment with the label, once its namespace has a service account; nothing here would run its pods.
async fn inject(stage: &Stage) -> Result<()> {
    eventually(Duration::from_secs(30), "the namespace has a service account", async || {
        stage.ask("kubectl get serviceaccount default -n shop").await.map_err(|error| format!("{error:?}"))
    })
    .await?;
    let deployment = "kubectl create deployment app -n shop --image=example.com/app --dry-run=client -o yaml | \
        kubectl patch --local -f - --type=merge -o yaml \
        -p '{\"spec\":{\"template\":{\"metadata\":{\"labels\":{\"meshagent.com/oauth-client\":\"web\"}}}}}' | \
        kubectl apply -f -";
    stage.run("An application with the label on its pod template.", deployment).await?;
    stage.run_pods().await?;
    let names = "kubectl get pod -l app=app -n shop -o jsonpath='{range .items[0].spec.containers[0].env[*]}{.name}{\"\\n\"}{end}'";
    stage.run("What the webhook has put into its container: references to the Secret.", names).await
}

/// Deletes the Secret, and sees the application restarted with the credential that takes the place of the lost one.
async fn restart(stage: &Stage) -> Result<()> {
    let right = format!(
        "kubectl apply -f charts/meshagent-operator/files/restart-role.yaml && \
         kubectl create clusterrolebinding meshagent-operator-restarts --clusterrole=meshagent-operator-restarts \
         --serviceaccount={NAMESPACE}:meshagent-operator"
    );
    stage.run("The right to restart workloads: the chart's rollout.enabled.", &right).await?;
    let wanted = "kubectl patch maoc web -n shop --type=merge -p '{\"spec\":{\"rollout\":{\"restart\":\"Injected\"}}}'";
    stage.run("The developer wants restarts.", wanted).await?;
    // The times of pods are whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    stage.run("Somebody deletes the Secret.", "kubectl delete secret web-oauth -n shop").await?;
    eventually(Duration::from_secs(60), "the application is restarted", async || {
        stage
            .ask("kubectl get event -n shop -o name --field-selector reason=Restarted | grep .")
            .await
            .map_err(|error| format!("{error:?}"))
    })
    .await?;
    stage.run_pods().await?;
    let rolled =
        "kubectl rollout status deployment/app -n shop --timeout=60s && kubectl rollout history deployment/app -n shop";
    stage.run("Its pods, which held the lost credential, are replaced, once.", rolled).await?;
    let events = "kubectl get events -n shop --field-selector reason=CredentialReplaced -o custom-columns=MESSAGE:.message \
        --no-headers; kubectl get events -n shop --field-selector reason=Restarted -o custom-columns=MESSAGE:.message --no-headers";
    stage.run("What the Events say.", events).await
}

async fn change(stage: &Stage) -> Result<()> {
    let patch = format!(
        "kubectl patch maoc web -n shop --type=merge -p \
         '{{\"spec\":{{\"redirectUris\":[\"{REDIRECT_URI}\",\"{ANOTHER_REDIRECT_URI}\"]}}}}'"
    );
    stage.run("Add a redirect URI.", &patch).await?;
    explain("The record of the simulator: the operator's one PUT.");
    println!("$ curl {}/calls", stage.simulator.admin());
    let put = eventually(Duration::from_secs(30), "the operator PUTs the client", async || {
        let calls = stage.simulator.calls().await.map_err(|error| format!("{error:?}"))?;
        the_put(&calls).ok_or_else(|| "no PUT with both redirect URIs".to_owned())
    })
    .await?;
    println!("{put}");
    let sign_in =
        format!("kubectl get secret web-oauth -n shop -o json | signin --secret --redirect-url {ANOTHER_REDIRECT_URI}");
    stage.run("The same Secret signs in through the new one.", &sign_in).await
}

/// The answered PUT with both redirect URIs, in one line.
fn the_put(calls: &Value) -> Option<String> {
    calls.as_array()?.iter().rev().find_map(|call| {
        let uris = &call["body"]["redirect_uris"];
        let both = [REDIRECT_URI, ANOTHER_REDIRECT_URI]
            .iter()
            .all(|uri| uris.as_array().is_some_and(|all| all.contains(&Value::from(*uri))));
        let put = call["method"] == "PUT" && call["status"] == 200;
        (both && put).then(|| format!("PUT {} {uris}", call["path"].as_str().unwrap_or_default()))
    })
}

async fn delete(stage: &Stage) -> Result<()> {
    stage.run("The application goes.", "kubectl delete deployment/app maoc/web -n shop").await?;
    eventually(EMPTIED, "the Secret is gone", async || {
        let left = stage.ask("kubectl get secret -n shop -o name").await.map_err(|error| format!("{error:?}"))?;
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await?;
    stage.run("Nothing is left in the cluster,", "kubectl get maoc,secret -n shop").await?;
    explain("and nothing in the project.");
    let clients = clients_left(stage).await?;
    println!(
        "$ curl -H \"Authorization: Bearer $MESHAGENT_API_KEY\" \"$MESHAGENT_API_URL/accounts/projects/<id>/oauth/clients\""
    );
    println!("{clients}");
    Ok(())
}

/// MeshAgent's listing of the project's clients, once it is empty.
async fn clients_left(stage: &Stage) -> Result<Value> {
    let http = reqwest::Client::new();
    eventually(Duration::from_secs(30), "the project holds no client", async || {
        let project = stage.simulator.projects().first().ok_or("the simulator has no project")?;
        let url = format!("{}/accounts/projects/{}/oauth/clients", stage.simulator.api(), project.project_id);
        let request = http.get(url).bearer_auth(&project.api_key).header("Consistency", "high");
        let answer = async { request.send().await?.error_for_status()?.json::<Value>().await }.await;
        let listing = answer.map_err(|error| error.to_string())?;
        if listing["clients"] == Value::Array(vec![]) { Ok(listing) } else { Err(listing.to_string()) }
    })
    .await
}
