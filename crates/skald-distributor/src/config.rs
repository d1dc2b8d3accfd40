use skald_config::ByteSize;

/// How much a distributor takes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistributorConfig {
    /// Largest body of a push on the wire.
    pub max_recv_msg_size: ByteSize,
    /// Largest body of a push once decompressed.
    ///
    /// Loki's default is 50 times `max_recv_msg_size`. One process that stores logs too has no such room to give to a single request,
    /// and no agent sends that much at once: the default here is smaller.
    pub max_decompressed_size: ByteSize,
    /// Most bytes of bodies, on the wire and decompressed, that are worked on at a time; pushes beyond get 503 and come again.
    ///
    /// 0 is no limit. The room for an entry's timestamp and bounds counts too; what a push takes in memory is about twice what is counted.
    pub max_inflight_bytes: ByteSize,
}

impl Default for DistributorConfig {
    fn default() -> Self {
        DistributorConfig {
            max_recv_msg_size: ByteSize(100 << 20),
            max_decompressed_size: ByteSize(512 << 20),
            max_inflight_bytes: ByteSize(1 << 30),
        }
    }
}

impl DistributorConfig {
    /// Largest `max_decompressed_size`: lines of one stream are counted with 32 bits.
    pub const DECOMPRESSED_SIZE_MAX: ByteSize = ByteSize(2 << 30);

    /// Every problem with the values, none when they can be used.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.max_recv_msg_size.0 == 0 {
            problems.push("max_recv_msg_size must not be 0".to_owned());
        }
        if self.max_decompressed_size < self.max_recv_msg_size {
            problems.push("max_decompressed_size must not be smaller than max_recv_msg_size".to_owned());
        }
        if self.max_decompressed_size > Self::DECOMPRESSED_SIZE_MAX {
            problems.push("max_decompressed_size must not be larger than 2 GiB".to_owned());
        }
        let largest_push = self.max_recv_msg_size.0.saturating_add(self.max_decompressed_size.0);
        if self.max_inflight_bytes.0 != 0 && self.max_inflight_bytes.0 < largest_push {
            problems.push("max_inflight_bytes must hold the largest push: max_recv_msg_size and max_decompressed_size together".to_owned());
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told() {
        assert_eq!(DistributorConfig::default().validate(), Vec::<String>::new());
        let config = |recv, decompressed, inflight| DistributorConfig {
            max_recv_msg_size: ByteSize(recv),
            max_decompressed_size: ByteSize(decompressed),
            max_inflight_bytes: ByteSize(inflight),
        };
        assert_eq!(config(0, 5, 0).validate().len(), 1);
        assert_eq!(config(2, 1, 2).validate().len(), 2);
        assert_eq!(config(1, 3 << 30, 0).validate().len(), 1);
    }
}
