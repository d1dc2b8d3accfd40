//! Where targets come from: static lists, files, Kubernetes. Groups of labels come out; what they are for is the caller's.
