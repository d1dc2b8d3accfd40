use super::learn::learn;
use super::sample::Sample;
use super::templates::Templates;
use super::tokens::Tokens;
use skald_model::Level;
use std::collections::BTreeMap;

fn counts(lines: &[(Level, String)]) -> (BTreeMap<(Level, String), usize>, usize) {
    let mut sample = Sample::new(super::SAMPLE_LINES);
    for (n, (level, line)) in lines.iter().enumerate() {
        sample.offer([0, 0, 0, n as u64], *level, line.as_bytes());
    }
    let mut templates = Templates::default();
    templates.add(learn(&sample.into_lines()));
    let (mut counts, mut missed, mut tokens) = (BTreeMap::new(), 0, Tokens::default());
    for (level, line) in lines {
        tokens.read(line.as_bytes());
        match templates.classify(*level, line.as_bytes(), &tokens) {
            Some(pattern) => {
                let (level, text) = templates.pattern(pattern);
                *counts.entry((level, text.to_owned())).or_default() += 1;
            }
            None => {
                if std::env::var("MISS").is_ok() && missed % 50 == 0 {
                    println!("MISS {line:?}");
                    let sub: Vec<_> = lines
                        .iter()
                        .filter(|l| {
                            let mut t = Tokens::default();
                            t.read(l.1.as_bytes());
                            t.shape == tokens.shape
                        })
                        .cloned()
                        .collect();
                    for t in learn(
                        &sub.iter()
                            .enumerate()
                            .fold(Sample::new(9999), |mut s, (n, l)| {
                                s.offer([0, 0, 0, n as u64], l.0, l.1.as_bytes());
                                s
                            })
                            .into_lines(),
                    ) {
                        println!("   {}", t.text);
                    }
                }
                missed += 1
            }
        }
    }
    (counts, missed)
}

#[test]
fn show() {
    for file in std::env::var("SHOW").unwrap_or_default().split_whitespace() {
        let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
        let lines: Vec<_> = text.lines().map(|l| (Level::Unknown, l.to_owned())).collect();
        let (counts, missed) = counts(&lines);
        let mut sorted: Vec<_> = counts.into_iter().collect();
        sorted.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let top: usize = sorted.iter().filter(|s| s.1 >= 30).map(|s| s.1).sum();
        println!("== {file}: {} lines, {} patterns, {} in >=30, missed {missed}", lines.len(), sorted.len(), top);
        for ((_, text), n) in sorted.iter().take(14) {
            println!("{n:6} {}", text.chars().take(220).collect::<String>());
        }
    }
}
