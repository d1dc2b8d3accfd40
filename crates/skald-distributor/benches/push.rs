//! Cost of the two hot parts of a push: finding levels, and all that is done with a body.

fn main() {}
