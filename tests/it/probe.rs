//! `probe`, as a container's health check runs it: the real binary asks a real worker, or what stands in its place.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::PATIENCE;
use crate::support::command::{Ran, run};
use crate::support::rig::Rig;

async fn probe(args: &[&str], addr: SocketAddr) -> Ran {
    run(&[&["probe"], args].concat(), &[("ADMIN_ADDR", &addr.to_string())]).await
}

fn assert_well(ran: &Ran) {
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""), "{ran:?}");
}

/// It failed, with one line that begins like this and says so.
fn assert_unwell(ran: &Ran, says: &str) {
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    assert!(ran.stderr.starts_with("connection-worker: ") && ran.stderr.contains(says), "{says}: {ran:?}");
}

/// Answers one connection in this way.
async fn stand_in<F: Future<Output = ()> + Send>(
    answer: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        answer(stream).await;
    });
    addr
}

/// The worker listens on every address, as it must in a pod; the probe finds it on loopback.
#[tokio::test]
async fn a_worker_is_live_before_it_is_ready_and_ready_when_it_takes_jobs() {
    let Some(rig) = Rig::start(Duration::ZERO).await else { return };
    let mut worker = rig.start_worker(&[("ADMIN_ADDR", "0.0.0.0:0")]);
    worker.wait_ready().await;
    let everywhere = worker.admin_addr().await;
    assert!(everywhere.ip().is_unspecified());
    for args in [&[][..], &["livez"], &["readyz"], &["readyz", "--timeout", "20s"]] {
        assert_well(&probe(args, everywhere).await);
    }

    rig.proxy.cut();
    worker.wait_unready().await;
    assert_well(&probe(&["livez"], everywhere).await);
    assert_unwell(&probe(&["readyz"], everywhere).await, "/readyz: 503 not taking jobs");

    worker.signal(nix::sys::signal::Signal::SIGKILL);
    worker.wait(PATIENCE).await;
    assert_unwell(&probe(&[], everywhere).await, "cannot connect: Connection refused");
}

#[tokio::test]
async fn whoever_does_not_answer_in_time_is_not_well() {
    // Neither one that says nothing, nor one that goes on saying a little.
    let silent = stand_in(async |mut stream| {
        stream.read_to_end(&mut Vec::new()).await.ok();
    })
    .await;
    let dripping = stand_in(async |mut stream| {
        while stream.write_all(b"H").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    for addr in [silent, dripping] {
        let ran = tokio::time::timeout(PATIENCE, probe(&["--timeout", "300ms"], addr)).await.unwrap();
        assert_unwell(&ran, "/livez: no answer: timed out");
    }
}

#[tokio::test]
async fn a_port_of_another_program_is_not_a_worker() {
    let ssh = stand_in(async |mut stream| stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap()).await;
    // With the request unread, an end could be a reset.
    let ran = probe(&[], ssh).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let endless = stand_in(async |mut stream| while stream.write_all(&[b'x'; 1024]).await.is_ok() {}).await;
    assert_unwell(&probe(&["--timeout", "20s"], endless).await, "is not HTTP");
}

#[tokio::test]
async fn faults_of_the_command_line_are_told_at_once() {
    let ran = run(&["probe", "--timeout", "soon"], &[("ADMIN_ADDR", "127.0.0.1:0")]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(64), ""), "{ran:?}");
    for name in ["TIMEOUT (--timeout): not a duration", "ADMIN_ADDR (--admin-addr): port 0"] {
        assert!(ran.stderr.contains(name), "{name}: {ran:?}");
    }
    assert_eq!(run(&["probe", "health"], &[]).await.code, Some(64));
}
