use super::*;
use crate::target::FileTarget;

fn targets(dir: &Path, patterns: &[&str]) -> Vec<Arc<Target>> {
    let target = |(number, pattern): (usize, &&str)| {
        let path = format!("{}/{pattern}", dir.display());
        Arc::new(
            Target::new(&FileTarget { key: (*pattern).into(), path, exclude: None, encoding: None, decompression: None }, number as u32)
                .unwrap(),
        )
    };
    patterns.iter().enumerate().map(target).collect()
}

fn names(dir: &Path, found: Vec<Found>) -> Vec<(u32, String)> {
    let mut names: Vec<_> =
        found.into_iter().map(|found| (found.target, found.path.strip_prefix(dir).unwrap().display().to_string())).collect();
    names.sort();
    names
}

#[test]
fn all_patterns_find_their_files_and_only_needed_directories_are_watched() {
    let dir = tempfile::tempdir().unwrap();
    for path in ["a/one.log", "a/deep/er/two.log", "b/three.log", "b/four.txt", "c/five.log"] {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let targets = targets(dir.path(), &["a/**/*.log", "{a,b}/*.log", "b/four.txt", "none/*.log"]);
    let mut watcher = Watcher::new(true).unwrap();
    let mut tree = Tree::default();
    let want = [(0, "a/deep/er/two.log"), (0, "a/one.log"), (1, "a/one.log"), (1, "b/three.log"), (2, "b/four.txt")]
        .map(|(target, path)| (target, path.to_owned()));
    assert_eq!(names(dir.path(), tree.scan(&targets, &mut watcher)), want);
    // The directory itself, where `a`, `b` and `none` are matched or awaited; a, a/deep, a/deep/er, b.
    assert_eq!(tree.watches(), 5);
    assert_eq!(names(dir.path(), tree.scan(&targets, &mut watcher)), want);
    assert_eq!((tree.watches(), tree.directories.len()), (5, 5));
}

#[test]
fn a_directory_that_comes_is_looked_into() {
    let dir = tempfile::tempdir().unwrap();
    let targets = targets(dir.path(), &["*/x/*.log"]);
    let mut watcher = Watcher::new(true).unwrap();
    let mut tree = Tree::default();
    assert_eq!(tree.scan(&targets, &mut watcher), []);
    fs::create_dir_all(dir.path().join("a/x")).unwrap();
    fs::write(dir.path().join("a/x/one.log"), "").unwrap();
    let event = watcher.events().remove(0);
    let (found, awaited) = tree.appeared(event.watch, &event.name, &targets, &mut watcher);
    assert_eq!((names(dir.path(), found), awaited), (vec![(0, "a/x/one.log".to_owned())], false));
}
