//! R5: names that come and go.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::*;

/// A resolver that finds nothing at first, then this address.
struct Recovering {
    failures: Mutex<usize>,
    address: SocketAddr,
}

impl Resolve for Recovering {
    fn resolve(&self, _: Name) -> Resolving {
        let mut failures = self.failures.lock().unwrap();
        let found: Result<Addrs, _> = if *failures > 0 {
            *failures -= 1;
            Err(Box::<dyn std::error::Error + Send + Sync>::from("no such name"))
        } else {
            Ok(Box::new([self.address].into_iter()))
        };
        Box::pin(std::future::ready(found))
    }
}

fn resolved(failures: usize, address: SocketAddr) -> MeshAgent {
    let connection = connection(&format!("http://api.example:{}", address.port()));
    let resolver = Recovering { failures: Mutex::new(failures), address };
    let http = http_client(&connection.timeouts, None, None).unwrap().dns_resolver(Arc::new(resolver));
    MeshAgent::over(http, connection).unwrap()
}

#[tokio::test]
async fn a_name_that_is_not_found_means_that_nothing_was_sent() {
    let server = TestServer::start(|_| status(404));
    let agent = resolved(4, server.address);
    let not_found = Kind::NotSent(NotSent::NameNotResolved);
    assert_eq!(rejected(post(&agent).await), not_found);
    assert_eq!(agent.get_client("c1").await, Err(error(Route::GetClient, not_found, "no such name")));
    assert_eq!(agent.get_client("c1").await, Ok(None), "the name is looked up anew for each connection");
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn a_name_that_is_found_at_the_second_look_goes_unnoticed() {
    let server = TestServer::start(|_| status(404));
    assert_eq!(resolved(1, server.address).get_client("c1").await, Ok(None));
}
