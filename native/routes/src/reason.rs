//! Why a packet was dropped; the words are those of the whole project.

macro_rules! reasons {
    ($($name:ident = $word:literal),* $(,)?) => {
        /// Why a packet was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs)]
        pub enum Reason { $($name),* }

        impl Reason {
            /// Every reason, in the order of its number.
            pub const ALL: &[Reason] = &[$(Reason::$name),*];

            /// The word that metrics show.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Reason::$name => $word),* }
            }
        }
    };
}

include!("reasons.in");
