//! What a watch has touched, once its cache shows it.

use std::hash::Hash;
use std::sync::Arc;

use futures::{Stream, StreamExt as _, stream};
use kube::runtime::reflector::{Lookup, Store};
use kube::runtime::watcher::{self, Event};

/// How many objects of a listing are touched before others have their turn.
const AT_A_TIME: usize = 128;

/// The objects that the events of a watch have touched, out of its cache, which the events have been written to.
///
/// kube's own `touched_objects` shows those of a listing one by one, while the cache still holds what was there before: a
/// pass that begins then sees the past, and the end of the listing begins no other. Here a listing touches all objects once
/// it is whole: first those that it lacks or shows changed, as they were before, and then all as they are.
pub fn touched<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
    cached: Store<K>,
) -> impl Stream<Item = watcher::Result<K>> + Send
where
    K: Lookup<DynamicType: Default + Eq + Hash + Clone + Send + Sync> + PartialEq + Clone + Send + Sync + 'static,
{
    let mut before: Vec<Arc<K>> = Vec::new();
    events.flat_map(move |event| {
        let touched = match event {
            Ok(Event::Apply(object) | Event::Delete(object)) => return stream::iter(vec![Ok(object)]).left_stream(),
            Err(error) => return stream::iter(vec![Err(error)]).left_stream(),
            Ok(Event::Init) => {
                before = cached.state();
                Vec::new()
            }
            Ok(Event::InitApply(_)) => Vec::new(),
            Ok(Event::InitDone) => {
                let reference = |former: &Arc<K>| former.to_object_ref(Default::default());
                before.retain(|former| cached.get(&reference(former)).as_ref() != Some(former));
                [std::mem::take(&mut before), cached.state()].concat()
            }
        };
        in_turns(touched).map(|object| Ok((*object).clone())).right_stream()
    })
}

/// Of thousands a few at a time, so that others get their turn on this core.
fn in_turns<T: Clone + Send + 'static>(all: Vec<T>) -> impl Stream<Item = T> + Send {
    let turns: Vec<Vec<T>> = all.chunks(AT_A_TIME).map(<[T]>::to_vec).collect();
    let yielding = stream::iter(turns).then(async |turn| {
        tokio::task::yield_now().await;
        turn
    });
    yielding.flat_map(stream::iter)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt;
    use kube::runtime::reflector::ObjectRef;
    use kube::runtime::{WatchStreamExt as _, reflector};

    use super::*;

    fn object(name: &str, version: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_owned());
        object.metadata.resource_version = Some(version.to_owned());
        object
    }

    /// Each object that is touched, with its version in the cache at that moment.
    async fn shown(events: Vec<Event<ConfigMap>>) -> Vec<(String, Option<String>)> {
        let (cached, writer) = reflector::store();
        let events = stream::iter(events.into_iter().map(Ok)).reflect(writer);
        let seen = cached.clone();
        let version = |object: ConfigMap| {
            let cached = seen.get(&ObjectRef::from_obj(&object));
            (object.name_any(), cached.and_then(|cached| ResourceExt::resource_version(&*cached)))
        };
        let mut shown: Vec<_> = touched(events, cached).map(|object| version(object.unwrap())).collect().await;
        shown.sort();
        shown
    }

    fn versions(versions: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
        versions.iter().map(|(name, version)| ((*name).to_owned(), version.map(str::to_owned))).collect()
    }

    #[tokio::test]
    async fn a_listing_touches_all_that_it_shows_or_lacks_once_the_cache_holds_it() {
        let first =
            [Event::Init, Event::InitApply(object("a", "1")), Event::InitApply(object("b", "1")), Event::InitDone];
        assert_eq!(shown(first.to_vec()).await, versions(&[("a", Some("1")), ("b", Some("1"))]));
        let second = [Event::Init, Event::InitApply(object("a", "2")), Event::InitApply(object("c", "1"))];
        let under_way = [&first[..], &second[..]].concat();
        assert_eq!(shown(under_way.clone()).await, versions(&[("a", Some("1")), ("b", Some("1"))]));
        let whole = [&under_way[..], &[Event::InitDone]].concat();
        // "a" as it was before, and as it is.
        let a = [("a", Some("1")), ("a", Some("2")), ("a", Some("2"))];
        let all = [&a[..], &[("b", None), ("b", Some("1")), ("c", Some("1"))]].concat();
        assert_eq!(shown(whole).await, versions(&all));
        // A listing that fails and is begun again.
        let again = [&under_way[..], &second[..], &[Event::InitDone]].concat();
        assert_eq!(shown(again).await, versions(&all));
    }

    #[tokio::test]
    async fn thousands_are_touched_in_turns() {
        let numbers: Vec<u32> = (0..5000).collect();
        assert_eq!(in_turns(numbers.clone()).collect::<Vec<_>>().await, numbers);
    }

    #[tokio::test]
    async fn a_change_touches_its_object_and_so_does_a_deletion() {
        let events = vec![Event::Apply(object("a", "1")), Event::Delete(object("b", "1"))];
        assert_eq!(shown(events).await, versions(&[("a", Some("1")), ("b", None)]));
    }

    #[tokio::test]
    async fn an_error_is_passed_on() {
        let (cached, _writer) = reflector::store::<ConfigMap>();
        let failed = stream::iter([Err(watcher::Error::NoResourceVersion)]);
        let shown: Vec<_> = touched(failed, cached).collect().await;
        assert!(matches!(shown[..], [Err(watcher::Error::NoResourceVersion)]));
    }
}
