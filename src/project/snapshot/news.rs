//! Which clients a snapshot shows otherwise than before: whom a listing concerns.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::decide::id::{ClientId, Uid};
use crate::project::CachedClient;

/// More clients than this are not kept apart: all users of the project are looked at then.
const MOST: usize = 1_000;

/// The clients that are shown otherwise than when that was asked last.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The uid that each client's marker names, if it bears one.
    clients: HashMap<ClientId, Option<Uid>>,
    /// Whether there were more than are kept.
    more: bool,
}

impl News {
    pub(super) fn add(&mut self, id: &ClientId, uid: Option<&Uid>) {
        if self.clients.len() >= MOST {
            (self.more, self.clients) = (true, HashMap::new());
        }
        if !self.more {
            self.clients.insert(id.clone(), uid.cloned());
        }
    }

    /// Those of a project's users that the news are about. `None`: any of them may be concerned, since there are many news, or
    /// some of a client that no user names, which one may wait to adopt.
    #[must_use]
    pub fn concerned<'a>(&self, users: &'a [Arc<CachedClient>]) -> Option<Vec<&'a Arc<CachedClient>>> {
        let uids: HashMap<&Uid, Vec<&ClientId>> = self.clients.iter().fold(HashMap::new(), |mut uids, (id, uid)| {
            if let Some(uid) = uid {
                uids.entry(uid).or_insert_with(Vec::new).push(id);
            }
            uids
        });
        let (mut concerned, mut named) = (Vec::new(), HashSet::new());
        for user in users {
            let facts = &user.facts.named;
            let by_id = facts.own.iter().chain(&facts.retiring).filter(|id| self.clients.contains_key(*id));
            let ids: Vec<&ClientId> = by_id.chain(uids.get(&facts.uid).into_iter().flatten().copied()).collect();
            if !ids.is_empty() {
                concerned.push(user);
                named.extend(ids);
            }
        }
        (!self.more && named.len() == self.clients.len()).then_some(concerned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::OAuthClient;
    use crate::api::oauth_client::Retiring;
    use crate::decide::time::stamp;

    fn user(uid: &str, own: Option<&str>, former: Option<&str>) -> Arc<CachedClient> {
        let mut object = OAuthClient::new(uid, Default::default());
        object.metadata.uid = Some(uid.to_owned());
        let status = object.status.get_or_insert_default();
        status.client_id = own.map(str::to_owned);
        let retiring = |id| vec![Retiring::new(id, None, stamp(jiff::Timestamp::UNIX_EPOCH))];
        status.retiring = former.map(retiring);
        Arc::new(CachedClient::try_from(object).unwrap())
    }

    fn news(clients: &[(&str, Option<&str>)]) -> News {
        let mut news = News::default();
        for (id, uid) in clients {
            news.add(&ClientId::new(*id), uid.map(Uid::new).as_ref());
        }
        news
    }

    #[test]
    fn news_concern_who_names_the_client_and_whom_the_client_names() {
        let users = [user("u1", Some("c1"), None), user("u2", Some("c2"), Some("c0")), user("u3", None, None)];
        let concerned = |clients: &[(&str, Option<&str>)]| {
            let news = news(clients);
            let concerned = news.concerned(&users)?;
            Some(concerned.into_iter().map(|user| user.facts.named.uid.to_string()).collect::<Vec<_>>())
        };
        let these = |uids: &[&str]| Some(uids.iter().map(|uid| (*uid).to_owned()).collect());
        assert_eq!(concerned(&[]), these(&[]));
        assert_eq!(concerned(&[("c1", None)]), these(&["u1"]), "its marker was taken off");
        assert_eq!(concerned(&[("c0", Some("u2")), ("c1", Some("u1"))]), these(&["u1", "u2"]));
        assert_eq!(concerned(&[("c9", Some("u3"))]), these(&["u3"]), "a POST of unknown outcome");
        assert_eq!(concerned(&[("c1", Some("u2"))]), these(&["u1", "u2"]), "its marker was altered");
        assert_eq!(concerned(&[("c1", Some("u1")), ("c9", None)]), None, "somebody may wait to adopt it");
        assert_eq!(concerned(&[("c9", Some("gone"))]), None);
    }

    #[test]
    fn of_very_many_news_none_is_kept_and_all_are_concerned() {
        let mut news = News::default();
        for number in 0..=MOST {
            news.add(&ClientId::new(number.to_string()), Some(&Uid::new("u1")));
        }
        assert_eq!((news.clients.len(), news.concerned(&[user("u1", None, None)]).is_none()), (0, true));
    }
}
