//! The hash ring: who is a member, which tokens it has, and which members own a key.
//!
//! A key is the 32-bit hash of a tenant and a canonical label set ([`stream_token`]). Walking clockwise from the key, the first distinct members
//! own it ([`View::replication_set`]). A [`View`] is plain data; keeping it true among processes is the business of whoever holds it.

mod page;

use skald_model::seam::Random;
use skald_model::{DiskId, Labels, TenantId, Timestamp};

/// Tokens of each member.
pub const TOKENS: usize = 128;

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum InstanceState {
    /// Registered, not yet serving.
    Joining,
    /// Takes pushes and answers.
    Active,
    /// Takes no pushes, still answers.
    Leaving,
}

/// A member of the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub id: String,
    /// `host:port` of its gRPC service.
    pub address: String,
    /// Its availability zone, empty when zones are not used.
    pub zone: String,
    /// What it does.
    pub state: InstanceState,
    /// When it registered.
    pub registered: Timestamp,
    /// Its data directory: the same name with another disk is another member.
    pub disk: DiskId,
    /// Its claims on the ring, ascending.
    pub tokens: Vec<u32>,
}

/// The members at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// In no particular order.
    pub instances: Vec<Instance>,
}

impl Instance {
    /// Draws tokens for a new member.
    pub fn draw_tokens(random: &dyn Random) -> Vec<u32> {
        let mut tokens: Vec<u32> = (0..TOKENS).map(|_| (random.next_u64() >> 32) as u32).collect();
        tokens.sort_unstable();
        tokens
    }
}

impl View {
    /// The first `factor` distinct active members clockwise from `token`; fewer when there are not as many.
    pub fn replication_set(&self, token: u32, factor: usize) -> Vec<&Instance> {
        let active = self.instances.iter().filter(|instance| instance.state == InstanceState::Active);
        let mut claims: Vec<(u32, &Instance)> =
            active.flat_map(|instance| instance.tokens.iter().map(move |claim| (claim.wrapping_sub(token), instance))).collect();
        claims.sort_unstable_by(|a, b| (a.0, &a.1.id).cmp(&(b.0, &b.1.id)));
        let mut owners: Vec<&Instance> = Vec::new();
        for (_, instance) in claims {
            if owners.len() == factor {
                break;
            }
            if owners.iter().all(|owner| owner.id != instance.id) {
                owners.push(instance);
            }
        }
        owners
    }
}

/// Where a stream stands on the ring: 32-bit FNV-1 of the tenant id and the canonical label text, as in Loki.
pub fn stream_token(tenant: &TenantId, labels: &Labels) -> u32 {
    let text = labels.to_string();
    let bytes = tenant.as_str().bytes().chain(text.bytes());
    bytes.fold(0x811c_9dc5_u32, |hash, byte| hash.wrapping_mul(0x0100_0193) ^ u32::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(id: &str, tokens: &[u32], state: InstanceState) -> Instance {
        Instance {
            id: id.to_owned(),
            address: String::new(),
            zone: String::new(),
            state,
            registered: Timestamp(0),
            disk: DiskId(0),
            tokens: tokens.to_vec(),
        }
    }

    #[test]
    fn owners_are_the_first_distinct_active_members_clockwise() {
        let active = InstanceState::Active;
        let instances = vec![
            instance("a", &[10, 20], active),
            instance("b", &[30], active),
            instance("c", &[15], InstanceState::Leaving),
            instance("d", &[40], active),
        ];
        let view = View { instances };
        let owners = |token| view.replication_set(token, 2).into_iter().map(|owner| owner.id.as_str()).collect::<Vec<_>>();
        assert_eq!(owners(11), ["a", "b"]);
        assert_eq!(owners(30), ["b", "d"]);
        assert_eq!(owners(41), ["a", "b"]);
        assert_eq!(view.replication_set(0, 9).len(), 3);
    }

    #[test]
    fn tokens_of_streams_are_fnv1() {
        let tenant = TenantId::parse("a").expect("valid");
        // FNV-1 of "a{}", computed by hand: xor comes after the multiplication.
        let step = |hash: u32, byte: u8| hash.wrapping_mul(16_777_619) ^ u32::from(byte);
        assert_eq!(stream_token(&tenant, &Labels::empty()), step(step(step(2_166_136_261, b'a'), b'{'), b'}'));
    }
}
