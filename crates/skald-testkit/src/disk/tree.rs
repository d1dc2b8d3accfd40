use crate::SeededRandom;
use skald_model::Timestamp;
use skald_model::seam::{DirEntry, Random};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};

/// Number of a file or directory.
pub(super) type Inode = usize;

const ROOT: Inode = 0;

/// Names as they are seen, names as they would be found after a power cut, and what lies between.
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// Changes of names that are not synced, oldest first.
    pending: Vec<Change>,
}

enum Node {
    File(File),
    Dir(Dir),
}

#[derive(Default)]
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    /// How many of them survive a power cut.
    pub(super) synced: usize,
    /// A sync failed: what was not durable then is gone from the system's memory, and no later sync makes it durable.
    pub(super) sync_failed: bool,
    /// When it was last written.
    pub(super) modified: Timestamp,
}

#[derive(Default)]
struct Dir {
    live: BTreeMap<String, Inode>,
    durable: BTreeMap<String, Inode>,
}

/// A name removed, a name given, or both at once: creation, removal, renaming.
#[derive(Clone)]
struct Change {
    inode: Inode,
    from: Option<(Inode, String)>,
    to: Option<(Inode, String)>,
}

impl Change {
    fn touches(&self, dir: Inode) -> bool {
        [&self.from, &self.to].into_iter().flatten().any(|(d, _)| *d == dir)
    }
}

impl Tree {
    pub(super) fn new() -> Self {
        Tree { nodes: vec![Node::Dir(Dir::default())], pending: Vec::new() }
    }

    pub(super) fn file(&self, inode: Inode) -> io::Result<&File> {
        match &self.nodes[inode] {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn file_mut(&mut self, inode: Inode) -> io::Result<&mut File> {
        match &mut self.nodes[inode] {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn dir(&self, inode: Inode) -> io::Result<&Dir> {
        match &self.nodes[inode] {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn dir_mut(&mut self, inode: Inode) -> &mut Dir {
        match &mut self.nodes[inode] {
            Node::Dir(dir) => dir,
            Node::File(_) => unreachable!("changes are recorded for directories only"),
        }
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<Inode> {
        let mut at = ROOT;
        for name in names(path)? {
            at = *self.dir(at)?.live.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    /// The directory that holds the last name of `path`, and that name.
    fn parent<'a>(&self, path: &'a Path) -> io::Result<(Inode, &'a str)> {
        let mut names = names(path)?;
        let name = names.pop().ok_or(io::ErrorKind::InvalidInput)?;
        let mut at = ROOT;
        for name in names {
            at = *self.dir(at)?.live.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        self.dir(at)?;
        Ok((at, name))
    }

    pub(super) fn create_file(&mut self, path: &Path) -> io::Result<Inode> {
        self.create(path, Node::File(File::default()))
    }

    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let mut so_far = std::path::PathBuf::new();
        for name in names(path)? {
            so_far.push(name);
            match self.create(&so_far, Node::Dir(Dir::default())) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.dir(self.find(&so_far)?).map(|_| ())?,
                other => other.map(|_| ())?,
            }
        }
        Ok(())
    }

    fn create(&mut self, path: &Path, node: Node) -> io::Result<Inode> {
        let (dir, name) = self.parent(path)?;
        if self.dir(dir)?.live.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.nodes.push(node);
        let inode = self.nodes.len() - 1;
        self.change(Change { inode, from: None, to: Some((dir, name.to_owned())) });
        Ok(inode)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path, replace: bool) -> io::Result<()> {
        if names(to)?.starts_with(&names(from)?) && from != to {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let inode = self.find(from)?;
        let (from_dir, from_name) = self.parent(from)?;
        let (to_dir, to_name) = self.parent(to)?;
        if let Some(there) = self.dir(to_dir)?.live.get(to_name).copied() {
            if !replace {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            match (&self.nodes[inode], &self.nodes[there]) {
                _ if inode == there => return Ok(()),
                (Node::File(_), Node::File(_)) => {}
                (Node::Dir(_), Node::Dir(dir)) if dir.live.is_empty() => {}
                (Node::Dir(_), Node::Dir(_)) => return Err(io::ErrorKind::DirectoryNotEmpty.into()),
                (Node::Dir(_), Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                (Node::File(_), Node::Dir(_)) => return Err(io::ErrorKind::IsADirectory.into()),
            }
        }
        self.change(Change { inode, from: Some((from_dir, from_name.to_owned())), to: Some((to_dir, to_name.to_owned())) });
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let inode = self.find(path)?;
        self.file(inode)?;
        let (dir, name) = self.parent(path)?;
        self.change(Change { inode, from: Some((dir, name.to_owned())), to: None });
        Ok(())
    }

    /// Takes the names away one by one, the deepest first, so that a power cut may keep any of them.
    pub(super) fn remove_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let inode = self.find(path)?;
        let (parent, name) = self.parent(path)?;
        self.empty_dir(inode)?;
        self.change(Change { inode, from: Some((parent, name.to_owned())), to: None });
        Ok(())
    }

    fn empty_dir(&mut self, dir: Inode) -> io::Result<()> {
        for (name, inode) in self.dir(dir)?.live.clone() {
            if matches!(self.nodes[inode], Node::Dir(_)) {
                self.empty_dir(inode)?;
            }
            self.change(Change { inode, from: Some((dir, name)), to: None });
        }
        Ok(())
    }

    /// All that `dir` holds, sorted by name.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let dir = self.dir(self.find(path)?)?;
        let describe = |(name, inode): (&String, &Inode)| match &self.nodes[*inode] {
            Node::Dir(_) => DirEntry { name: name.clone(), is_dir: true, len: 0, modified: Timestamp(0) },
            Node::File(file) => DirEntry { name: name.clone(), is_dir: false, len: file.bytes.len() as u64, modified: file.modified },
        };
        Ok(dir.live.iter().map(describe).collect())
    }

    /// Bytes of all files that have a name.
    pub(super) fn used(&self) -> u64 {
        self.used_below(ROOT)
    }

    fn used_below(&self, inode: Inode) -> u64 {
        match &self.nodes[inode] {
            Node::File(file) => file.bytes.len() as u64,
            Node::Dir(dir) => dir.live.values().map(|inode| self.used_below(*inode)).sum(),
        }
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let dir = self.find(path)?;
        self.dir(dir)?;
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending).into_iter().partition(|change| change.touches(dir));
        self.pending = later;
        now.iter().for_each(|change| self.apply(change, |dir| &mut dir.durable));
        Ok(())
    }

    /// Frees the bytes of files that no name leads to, nor could lead to after a power cut. Nothing may have them open.
    pub(super) fn forget_nameless(&mut self) {
        let dirs = self.nodes.iter().filter_map(|node| if let Node::Dir(dir) = node { Some(dir) } else { None });
        let named =
            dirs.flat_map(|dir| dir.live.values().chain(dir.durable.values())).chain(self.pending.iter().map(|change| &change.inode));
        let named: BTreeSet<Inode> = named.copied().collect();
        for (inode, node) in self.nodes.iter_mut().enumerate() {
            if !named.contains(&inode)
                && let Node::File(file) = node
            {
                *file = File::default();
            }
        }
    }

    fn change(&mut self, change: Change) {
        self.apply(&change, |dir| &mut dir.live);
        self.pending.push(change);
    }

    fn apply(&mut self, change: &Change, names: impl Fn(&mut Dir) -> &mut BTreeMap<String, Inode>) {
        if let Some((dir, name)) = &change.from {
            let names = names(self.dir_mut(*dir));
            // A later change may have become durable first and given the name to something else.
            if names.get(name) == Some(&change.inode) {
                names.remove(name);
            }
        }
        if let Some((dir, name)) = &change.to {
            names(self.dir_mut(*dir)).insert(name.clone(), change.inode);
        }
    }

    /// Keeps what is durable, and of the rest what `random` decides: of each file the first of its new bytes, of the names any, in order.
    pub(super) fn power_cut(&mut self, random: &SeededRandom) {
        let keep_of_ten = [0, 10, 5, 8][random.below(4) as usize];
        let kept: Vec<Change> = std::mem::take(&mut self.pending).into_iter().filter(|_| random.below(10) < keep_of_ten).collect();
        kept.iter().for_each(|change| self.apply(change, |dir| &mut dir.durable));
        for node in &mut self.nodes {
            match node {
                Node::Dir(dir) => dir.live.clone_from(&dir.durable),
                Node::File(file) => file.power_cut(random),
            }
        }
    }
}

impl File {
    fn power_cut(&mut self, random: &SeededRandom) {
        let fresh = self.bytes.len() - self.synced;
        let kept = match random.below(3) {
            0 => 0,
            1 => fresh,
            _ => random.below(fresh as u64 + 1) as usize,
        };
        self.bytes.truncate(self.synced + kept);
        // The new length may be durable before the bytes are: then the end reads as zeros.
        if random.next_u64().is_multiple_of(4) {
            let zeros = random.below(kept as u64 + 1) as usize;
            let len = self.bytes.len();
            self.bytes[len - zeros..].fill(0);
        }
        self.synced = self.bytes.len();
        self.sync_failed = false;
    }
}

fn names(path: &Path) -> io::Result<Vec<&str>> {
    let name = |component| match component {
        Component::RootDir | Component::CurDir => None,
        Component::Normal(name) => Some(name.to_str().ok_or_else(|| io::ErrorKind::InvalidInput.into())),
        Component::ParentDir | Component::Prefix(_) => Some(Err(io::ErrorKind::InvalidInput.into())),
    };
    path.components().filter_map(name).collect()
}
