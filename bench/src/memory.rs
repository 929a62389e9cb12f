//! Protect and unprotect in memory, one thread and two.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use dkm::Plaintext;

use crate::measure::{Candidate, Effort, compare, consuming, plain};
use crate::peer::Asherah;
use crate::product::Product;
use crate::raw::Raw;
use crate::report::{Limit, Section, rate, spread, spread_time};

/// 1 KiB against the raw primitive and asherah.
pub(crate) fn small(effort: Effort) -> Result<Section> {
    let product = Product::new()?;
    let asherah = Asherah::new()?;
    let mut raw = Raw::new(1024)?;
    let plaintext = vec![b'x'; 1024];
    let blob = product.protect(&plaintext)?;
    let record = asherah.encrypt(&plaintext)?;
    anyhow::ensure!(asherah.decrypt(record.clone())? == plaintext, "asherah does not open its own record");
    anyhow::ensure!(*product.unprotect(&blob)? == plaintext, "a blob does not open");
    let (mut used_blob, mut used_plaintext) = (Vec::new(), Plaintext::default());
    let [raw, protect, protect_into, unprotect, unprotect_into, encrypt, decrypt] = compare(
        effort,
        [
            plain(move || raw.seal().expect("the primitive works")),
            plain(|| product.protect(&plaintext).expect("it worked before")),
            plain(|| product.protect_into(&plaintext, &mut used_blob).expect("it worked before")),
            plain(|| product.unprotect(&blob).expect("it worked before")),
            plain(|| product.unprotect_into(&blob, &mut used_plaintext).expect("it worked before")),
            plain(|| asherah.encrypt(&plaintext).expect("it worked before")),
            consuming(|| record.clone(), |record| asherah.decrypt(record).expect("it worked before")),
        ],
    );
    let mut section = Section::new(
        "1 KiB, key in the cache, one thread",
        "The raw primitive is one AES-256-GCM seal of aws-lc-rs in a ready buffer, under a ready key, with a fixed \
         nonce: no randomness, no allocation, no key derivation. Ours are the calls of a client's group, and include \
         all of these, the finding of the key, and a context of one pair. The same calls into a buffer that is used \
         again take no new memory. asherah has a static master key, its store in memory and its default policy; the \
         input that its decrypt consumes is made outside of the time.",
        ["operation", "time", "times raw", "asherah takes times ours"],
    );
    section.row(["raw seal".into(), spread_time(&raw), "1".into(), String::new()]);
    for (operation, ours, asherahs) in [
        ("protect", &protect, &encrypt),
        ("protect into a buffer used again", &protect_into, &encrypt),
        ("unprotect", &unprotect, &decrypt),
        ("unprotect into a buffer used again", &unprotect_into, &decrypt),
    ] {
        section.row([
            operation.into(),
            spread_time(ours),
            spread(ours.per(&raw)),
            spread(asherahs.per(ours)),
        ]);
    }
    section.row(["asherah encrypt".into(), spread_time(&encrypt), spread(encrypt.per(&raw)), String::new()]);
    section.row(["asherah decrypt".into(), spread_time(&decrypt), spread(decrypt.per(&raw)), String::new()]);
    section.target("1 KiB protect, times raw", Limit::Most(4.5), protect.per(&raw).median, "×");
    section.target("1 KiB unprotect, times raw", Limit::Most(4.0), unprotect.per(&raw).median, "×");
    section.target("1 KiB protect, as fast as asherah", Limit::Least(1.3), encrypt.per(&protect).median, "×");
    section.target(
        "1 KiB unprotect, as fast as asherah",
        Limit::Least(1.3),
        decrypt.per(&unprotect).median,
        "×",
    );
    Ok(section)
}

/// 64 KiB and 1 MiB against the raw primitive on the same bytes.
pub(crate) fn large(effort: Effort) -> Result<Section> {
    let mut section = Section::new(
        "64 KiB and 1 MiB, key in the cache, one thread",
        "The raw primitive seals all the bytes at once in a ready buffer; ours seal chunks of 64 KiB into a new blob, \
         and open them into new memory that is erased after use. Raw seal into new memory is what remains of ours \
         without randomness, key derivation and chunks: memory, a copy, the primitive. The same calls into a buffer \
         that is used again show what remains of ours without new memory.",
        ["operation", "time", "rate", "share of the raw rate"],
    );
    for (name, len) in [("64 KiB", 64 * 1024), ("1 MiB", 1024 * 1024)] {
        let product = Product::new()?;
        let mut raw = Raw::new(len)?;
        let raw_new = Raw::new(0)?;
        let plaintext = vec![b'x'; len];
        let blob = product.protect(&plaintext)?;
        let (mut used_blob, mut used_plaintext) = (Vec::new(), Plaintext::default());
        let [raw, new, protect, protect_into, unprotect, unprotect_into] = compare(
            effort,
            [
                plain(move || raw.seal().expect("the primitive works")),
                plain(|| raw_new.seal_new(&plaintext).expect("the primitive works")),
                plain(|| product.protect(&plaintext).expect("it worked before")),
                plain(|| product.protect_into(&plaintext, &mut used_blob).expect("it worked before")),
                plain(|| product.unprotect(&blob).expect("it worked before")),
                plain(|| product.unprotect_into(&blob, &mut used_plaintext).expect("it worked before")),
            ],
        );
        let all = [
            ("raw seal", &raw),
            ("raw seal into new memory", &new),
            ("protect", &protect),
            ("protect into a buffer used again", &protect_into),
            ("unprotect", &unprotect),
            ("unprotect into a buffer used again", &unprotect_into),
        ];
        for (operation, times) in all {
            section.row([
                format!("{name} {operation}"),
                spread_time(times),
                rate(len as f64, times.middle().median),
                spread(raw.per(times)),
            ]);
        }
        for (operation, times) in &all[2..] {
            let share = raw.per(times).median;
            section.target(
                &format!("{name} {operation}, share of the raw rate"),
                Limit::Least(0.9),
                share,
                "",
            );
        }
    }
    Ok(section)
}

/// Two threads on one client against one.
pub(crate) fn threads(effort: Effort) -> Result<Section> {
    let product = Product::new()?;
    let plaintext = vec![b'x'; 1024];
    let blob = product.protect(&plaintext)?;
    let mut section = Section::new(
        "Two threads",
        "Both threads use the same group and key; work done per time, against one thread in turns with it. The raw primitive \
         on two threads, each with a key and buffer of its own, shows what the machine has to give.",
        ["operation", "one thread, per operation", "two threads, per operation", "as much work"],
    );
    let work: [(&str, &(dyn Fn() + Sync)); 2] = [
        ("1 KiB protect", &|| drop(std::hint::black_box(product.protect(&plaintext)))),
        ("1 KiB unprotect", &|| drop(std::hint::black_box(product.unprotect(&blob)))),
    ];
    for (name, work) in work {
        let [one, two] =
            compare(effort, [on_threads(1, &|| Box::new(work)), on_threads(2, &|| Box::new(work))]);
        let gain = one.per(&two);
        section.row([name.into(), spread_time(&one), spread_time(&two), spread(gain)]);
        section.target(&format!("{name}, two threads against one"), Limit::Least(1.9), gain.median, "×");
    }
    let raw: &(dyn Fn() -> Box<dyn FnMut() + Send> + Sync) = &|| {
        let mut raw = Raw::new(1024).expect("it worked before");
        Box::new(move || drop(std::hint::black_box(raw.seal())))
    };
    let [one, two] = compare(effort, [on_threads(1, raw), on_threads(2, raw)]);
    section.row(["1 KiB raw seal".into(), spread_time(&one), spread_time(&two), spread(one.per(&two))]);
    Ok(section)
}

/// Divides the work among threads that start together; the time until the last is done.
fn on_threads<'a>(
    threads: u32,
    make: &'a (dyn Fn() -> Box<dyn FnMut() + Send + 'a> + Sync),
) -> Candidate<'a> {
    // New threads may share a processor until the system has noticed that both are busy.
    const SETTLE: Duration = Duration::from_millis(20);
    Box::new(move |times| {
        let each = times.div_ceil(threads);
        let ready = AtomicU32::new(0);
        let elapsed: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| {
                        let mut work = make();
                        let settling = Instant::now();
                        while settling.elapsed() < SETTLE {
                            work();
                        }
                        // Nobody sleeps here, so that nobody has to be woken.
                        ready.fetch_add(1, Ordering::AcqRel);
                        while ready.load(Ordering::Acquire) < threads {
                            std::hint::spin_loop();
                        }
                        let begun = Instant::now();
                        for _ in 0..each {
                            work();
                        }
                        (begun, Instant::now())
                    })
                })
                .collect();
            handles.into_iter().map(|handle| handle.join().expect("the work does not panic")).collect()
        });
        let begun = elapsed.iter().map(|(begun, _)| *begun).min();
        let ended = elapsed.iter().map(|(_, ended)| *ended).max();
        let total = begun.zip(ended).map_or(Duration::ZERO, |(begun, ended)| ended - begun);
        // As many operations as were asked for, though each thread rounds up.
        total.mul_f64(f64::from(times) / f64::from(each * threads))
    })
}

/// What a small secret costs.
pub(crate) fn overhead() -> Result<Section> {
    let product = Product::new()?;
    let asherah = Asherah::new()?;
    let mut section = Section::new(
        "Overhead",
        "Bytes of the protected form beyond the plaintext, whatever the context: it is not stored. asherah's record is \
         JSON.",
        ["plaintext", "bytes of ours", "ours beyond the plaintext", "asherah's beyond the plaintext"],
    );
    for len in [0usize, 32, 1024, 65_536, 1_048_576] {
        let plaintext = vec![b'x'; len];
        let blob = product.protect(&plaintext)?;
        let record = asherah.encrypt(&plaintext)?.to_json_fast();
        let beyond = blob.len() - len;
        section.row([
            format!("{len} bytes"),
            blob.len().to_string(),
            beyond.to_string(),
            (record.len() - len).to_string(),
        ]);
        if len == 32 {
            section.target("overhead of a 32-byte secret", Limit::Most(128.0), beyond as f64, " bytes");
        }
    }
    Ok(section)
}
