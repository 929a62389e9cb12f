//! What happened in a run, so that one sees that it was not vacuous.

macro_rules! tally {
    ($($(#[$doc:meta])* $name:ident: $label:literal,)*) => {
        /// Counts of what happened.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Tally {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Tally {
            /// Adds another run's counts.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            /// All counts with their labels.
            #[must_use]
            pub fn lines(&self) -> Vec<(&'static str, u64)> {
                vec![$(($label, self.$name),)*]
            }
        }
    };
}

tally! {
    /// Seeds.
    seeds: "seeds",
    /// Seeds with hundreds to ten thousand clients.
    crowds: "  with a crowd of clients",
    /// Seeds with an adversary.
    adversaries: "  with an adversary",
    /// Clients.
    clients: "clients",
    /// Complete readings of one replica.
    readings: "readings of a replica",
    /// Blobs that protect returned.
    protected: "blobs protected",
    /// Refusals to protect.
    refused: "protects refused",
    /// Blobs opened in the run.
    opened: "blobs opened in the run",
    /// Blobs that had to open again after the last heal.
    reopened: "blobs opened after the heal",
    /// Keys made by honest clients.
    keys: "keys made",
    /// Keys made in a slot whose twin another replica took.
    twins: "  conflict twins among them",
    /// Rollovers: the first use of a key other than the group's first.
    rollovers: "rollovers",
    /// Puts that found their slot taken.
    taken: "puts that found the slot taken",
    /// Clients crashed while they made a key.
    crashes_creating: "crashes while making a key",
    /// Clients restarted.
    restarts: "client restarts",
    /// Replicas that went down for a while.
    replica_crashes: "replica crashes",
    /// Partitions.
    partitions: "partitions",
    /// Links cut.
    cuts: "single links cut",
    /// Replicas lost for ever.
    losses: "replicas lost for ever",
    /// Replicas set back to an older state.
    set_back: "replicas set back",
    /// Replicas that withheld records.
    withholding: "replicas withholding",
    /// Clients whose clock was years off.
    clocks_off: "clocks years off",
    /// Clients removed.
    removals: "members removed",
    /// Answers *denied*.
    denials: "times told denied",
    /// Protects refused because no replica answered in the grace.
    out_of_reach: "refusals out of reach",
    /// Suspensions.
    suspended: "keys suspended",
    /// Compromises.
    compromised: "keys compromised",
    /// Destructions begun.
    cooling: "destructions begun",
    /// Destructions that a use called off.
    aborted: "  called off by a use",
    /// Keys destroyed.
    destroyed: "keys destroyed",
    /// Destroyed material that came back to a store and was erased.
    erased: "returning material erased",
    /// Archived keys put back.
    restored: "archived keys put back",
    /// Exposures.
    exposures: "exposures",
    /// Records planted by a malicious creator.
    planted: "records planted",
}
