//! What is killed without warning loses no task and calls the source again for its running attempts only.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use automagik_spark::dev::Signal;
use serde_json::Value;

use super::{alone, among_others};
use crate::harness::node::{SOON, is_alive, send};
use crate::harness::stage::Stage;
use crate::harness::until;

const SLOTS: i64 = 8;
const THREADS: u64 = 4;

/// Many times in a row, for a task may be on its way to a child in the moment in which that one is killed.
#[tokio::test]
async fn killed_children_lose_no_task() {
    const KILLS: usize = 6;
    let _machine = alone().await;
    let stage = Stage::new(Duration::from_millis(40)).await;
    let node = stage.node(&[("worker.restart_backoff_ms", "10"), ("worker.max_lost", "10")]).await;
    let workflow = node.workflow(&stage).await;
    let kill = async {
        let mut waits = Vec::new();
        for number in 1..=KILLS {
            stage.until_some_completed(number * 60).await;
            let victim = node.child_pids().await[0];
            send(victim, Signal::KILL);
            let killed_at = Instant::now();
            until("the child is replaced", SOON, async || {
                let executors = node.executors().await;
                let ready = executors.iter().filter(|executor| executor["state"] == "ready");
                (ready.count() == 2 && executors.iter().all(|executor| executor["pid"] != victim)).then_some(())
            })
            .await;
            waits.push(killed_at.elapsed());
        }
        println!("killed children were replaced after {waits:?}");
    };
    tokio::join!(node.run_many(&workflow, 800), kill);
    stage.until_all_completed(800, Duration::from_secs(60)).await;
    let extra = stage.assert_calls(800, KILLS as u64 * THREADS);
    let ended = |status: &str| format!("SELECT count(*) FROM task_attempts WHERE status = '{status}'");
    let (lost, not_started) = (stage.count(&ended("lost")).await, stage.count(&ended("released")).await);
    println!("{lost} attempts lost, {not_started} given back, {extra} extra calls");
    assert!((1..=KILLS as i64 * THREADS as i64).contains(&(lost + not_started)));
    let others = "SELECT count(*) FROM task_attempts WHERE status <> 'completed'
                  AND (code, outcome_unknown) NOT IN (('child_exited', true), ('not_started', false))";
    assert_eq!(stage.count(others).await, 0);
    let crashed = |event: &&Value| event["event"] == "exited" && event["reason"] == "crashed";
    assert_eq!(node.history().await.iter().filter(crashed).count(), KILLS);
}

#[tokio::test]
async fn a_killed_service_leaves_no_child_and_its_next_start_goes_on_at_once() {
    let _machine = alone().await;
    let stage = Stage::new(Duration::from_millis(40)).await;
    let mut node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    node.run_many(&workflow, 1000).await;
    stage.until_some_completed(200).await;
    let children = node.child_pids().await;
    assert!(children.len() >= 2, "and maybe a spare");
    // On a busy machine all slots may be between two tasks for a moment: it is killed in another one.
    let running = "SELECT count(*) FROM tasks WHERE status = 'running'";
    until("the service stands still with tasks running", SOON, async || {
        node.signal(Signal::STOP);
        let is_busy = stage.count(running).await > 0;
        if !is_busy {
            node.signal(Signal::CONT);
        }
        is_busy.then_some(())
    })
    .await;
    node.kill().await;
    let killed_at = Instant::now();
    until("the children end with their service", Duration::from_secs(1), async || {
        children.iter().all(|pid| !is_alive(*pid)).then_some(())
    })
    .await;
    println!("the children of a killed service are gone after {:?}", killed_at.elapsed());
    let left = stage.count(running).await;
    assert!((1..=SLOTS).contains(&left), "{left} tasks were running");

    let node = stage.node(&[]).await;
    let started_at = Instant::now();
    // A lease of 15 s is what other machines would wait for.
    until("the lost attempts are taken over", Duration::from_secs(5), async || {
        let lost = "SELECT count(*) FROM task_attempts WHERE status = 'lost' AND code = 'node_dead'";
        (stage.count(lost).await == left).then_some(())
    })
    .await;
    println!("{left} attempts are taken over {:?} after the new start", started_at.elapsed());
    stage.until_all_completed(1000, Duration::from_secs(60)).await;
    let extra = stage.assert_calls(1000, left.unsigned_abs());
    println!("{extra} extra calls after the service was killed");
    assert_eq!(stage.count("SELECT count(*) FROM nodes").await, 1);
    drop(node);
}

#[tokio::test]
async fn a_child_holds_nothing_of_the_service_but_its_socket() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    node.run_many(&workflow, 20).await;
    stage.until_all_completed(20, SOON).await;
    let of_service = descriptors(node.pid());
    assert!(named(&of_service).len() > 5, "a service has sockets of its own: {of_service:?}");
    let children = node.child_pids().await;
    let of_children: Vec<_> = children.iter().map(|pid| descriptors(*pid)).collect();
    assert_eq!(of_children.len(), 2);
    for files in &of_children {
        let of = |fd: u32| files.iter().find(|(number, _)| *number == fd).map(|(_, target)| target.as_str()).unwrap();
        assert!(of(0).starts_with("socket:"), "{files:?}");
        assert_eq!(of(1), "/dev/null");
        assert!(of(2).starts_with("pipe:"), "the log: {files:?}");
        // Standard error is meant to be shared; what this test was given by whoever started it is not the service's.
        let given = named(&descriptors(std::process::id()));
        let shared: Vec<_> = named(files).intersection(&named(&of_service)).cloned().collect();
        let inherited: Vec<_> = shared.iter().filter(|file| *file != of(2) && !given.contains(*file)).collect();
        assert!(inherited.is_empty(), "inherited from the service: {inherited:?}");
        let unnamed = files.iter().filter(|(_, target)| target.starts_with("anon_inode:")).count();
        assert!(unnamed <= 6, "{files:?}");
        let others = files.iter().filter(|(_, target)| target.starts_with('/') && target != "/dev/null");
        assert_eq!(others.count(), 0, "no file is open: {files:?}");
    }
    let siblings: Vec<_> = named(&of_children[0]).intersection(&named(&of_children[1])).cloned().collect();
    assert!(siblings.iter().all(|file| file.starts_with("pipe:")), "inherited from a sibling: {siblings:?}");
}

/// The open files of a process: their numbers, and what they are.
fn descriptors(pid: u32) -> Vec<(u32, String)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").flatten();
    let read = |entry: fs::DirEntry| {
        let target = fs::read_link(entry.path()).ok()?;
        Some((entry.file_name().to_str()?.parse().ok()?, target.to_str()?.to_owned()))
    };
    entries.filter_map(read).collect()
}

/// Those whose name is theirs alone.
fn named(files: &[(u32, String)]) -> BTreeSet<String> {
    let targets = files.iter().map(|(_, target)| target.clone());
    targets.filter(|target| target.starts_with("socket:") || target.starts_with("pipe:")).collect()
}
