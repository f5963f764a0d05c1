//! Real handshakes over loopback between our server and client, and the CA behind them.

#![expect(
    clippy::unwrap_used,
    reason = "helpers outside #[test] functions: a step that fails is a test that fails"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bee_daemon::clock::{Clock as _, SystemClock};
use bee_daemon::secret_file;
use bee_daemon::stream::MaybeTls;
use bee_daemon::tls::ca::Issued;
use bee_daemon::tls::server::{AcceptError, accept};
use bee_daemon::tls::{
    CORE_NAME, CaError, CertificateAuthority, CertificateInfo, ClientCertificates, ClientError, ClientTls,
    Fingerprint, Mode, NodeKey, ServerIdentity, ServerTls, Trust, client, identity,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const LIMIT: Duration = Duration::from_secs(30);
const DAY: i64 = 86_400;

fn now() -> i64 {
    SystemClock::new().wall_seconds()
}

fn new_ca() -> CertificateAuthority {
    CertificateAuthority::create(now()).unwrap()
}

fn server_tls(ca: &CertificateAuthority, clients: ClientCertificates) -> ServerTls {
    let identity = ca.issue_server(&["127.0.0.1".to_owned()], now()).unwrap();
    ServerTls::new(identity, clients, ca.certificate()).unwrap()
}

fn node_identity(ca: &CertificateAuthority, node_id: u64, at: i64) -> ServerIdentity {
    let key = NodeKey::generate("attic").unwrap();
    let certificate = ca.sign_node(&key.csr_pem, node_id, at).unwrap();
    identity_of(&certificate, &key)
}

fn identity_of(certificate_pem: &str, key: &NodeKey) -> ServerIdentity {
    ServerIdentity {
        chain: vec![CertificateDer::from_pem_slice(certificate_pem.as_bytes()).unwrap()],
        key: PrivateKeyDer::from_pem_slice(key.key_pem.as_bytes()).unwrap(),
    }
}

/// One connection: what the server made of it, and what the client did.
struct Met {
    server: Result<MaybeTls, AcceptError>,
    client: Result<MaybeTls, ClientError>,
}

async fn meet(server: &ServerTls, mode: Mode, client: Option<&ClientTls>) -> Met {
    let (listener, address) = listen().await;
    let serving = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = accept(stream, mode, Some(server), LIMIT).await?;
        // One byte each way: in TLS 1.3 a client learns of a refused certificate only here.
        if stream.read_u8().await.is_ok() {
            stream.write_u8(b'!').await.map_err(AcceptError::Io)?;
            stream.flush().await.map_err(AcceptError::Io)?;
        }
        Ok(stream)
    };
    let connecting = async {
        let mut stream = client::connect(&address.to_string(), client, LIMIT).await?;
        stream.write_all(b"?").await.map_err(ClientError::Handshake)?;
        stream.flush().await.map_err(ClientError::Handshake)?;
        stream.read_u8().await.map_err(ClientError::Handshake)?;
        Ok(stream)
    };
    let both = async { tokio::join!(serving, connecting) };
    let (server, client) = tokio::time::timeout(LIMIT, both).await.unwrap();
    Met { server, client }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn pinned(ca: &CertificateAuthority, identity: Option<ServerIdentity>) -> ClientTls {
    ClientTls::new(&Trust::PinnedCa(ca.fingerprint()), None, identity).unwrap()
}

#[tokio::test]
async fn a_pinned_client_and_the_server_agree_on_the_hybrid_group() {
    let ca = new_ca();
    let server = server_tls(&ca, ClientCertificates::Optional);
    let met = meet(&server, Mode::Required, Some(&pinned(&ca, None))).await;
    let (server, client) = (met.server.unwrap(), met.client.unwrap());
    for side in [&server, &client] {
        assert!(side.is_tls());
        assert_eq!(side.key_exchange().as_deref(), Some("X25519MLKEM768"));
    }
    assert_eq!(server.peer_node_id(), Ok(None), "no certificate was shown");
    let chain = client.peer_certificates();
    let found = identity::find_in_chain(chain, &ca.fingerprint()).unwrap();
    assert_eq!(found, ca.certificate(), "a joining node can keep the CA it pinned");
}

#[tokio::test]
async fn the_node_id_is_read_from_the_certificate_that_core_signed() {
    let ca = new_ca();
    let node_id = (1 << 53) - 1;
    let client = pinned(&ca, Some(node_identity(&ca, node_id, now())));
    for clients in [ClientCertificates::Optional, ClientCertificates::Required] {
        let met = meet(&server_tls(&ca, clients), Mode::Required, Some(&client)).await;
        met.client.unwrap();
        assert_eq!(met.server.unwrap().peer_node_id(), Ok(Some(node_id)));
    }
}

#[tokio::test]
async fn a_ca_file_is_as_good_as_a_pin_and_names_are_checked() {
    let temp = tempfile::tempdir().unwrap();
    let ca = new_ca();
    let path = temp.path().join("ca.pem");
    secret_file::write_public(&path, ca.pem().as_bytes()).unwrap();
    let server = server_tls(&ca, ClientCertificates::None);
    let trust = Trust::CaFile(path);
    for name in [None, Some("127.0.0.1"), Some(CORE_NAME)] {
        let client = ClientTls::new(&trust, name, None).unwrap();
        let met = meet(&server, Mode::Required, Some(&client)).await;
        assert!(met.client.unwrap().is_tls(), "{name:?}");
    }
    let client = ClientTls::new(&trust, Some("elsewhere.example"), None).unwrap();
    let met = meet(&server, Mode::Required, Some(&client)).await;
    assert!(matches!(met.client, Err(ClientError::Handshake(_))));
    assert!(matches!(met.server, Err(AcceptError::Handshake(_))));
}

#[tokio::test]
async fn another_ca_is_refused_and_a_wrong_pin_says_so() {
    let (ca, other) = (new_ca(), new_ca());
    let server = server_tls(&ca, ClientCertificates::None);
    let met = meet(&server, Mode::Required, Some(&pinned(&other, None))).await;
    let error = met.client.unwrap_err();
    assert!(matches!(error, ClientError::WrongCa { .. }), "{error:?}");
    assert!(error.to_string().contains(&other.fingerprint().short()), "{error}");

    let trust = Trust::CaPem(other.pem().as_bytes().to_vec());
    let client = ClientTls::new(&trust, None, None).unwrap();
    let met = meet(&server, Mode::Required, Some(&client)).await;
    assert!(matches!(met.client, Err(ClientError::Handshake(_))));
}

#[tokio::test]
async fn the_servers_own_certificate_cannot_be_pinned_as_if_it_were_a_ca() {
    let ca = new_ca();
    let identity = ca.issue_server(&[], now()).unwrap();
    let leaf = Fingerprint::of(&identity.chain[0]);
    let server = ServerTls::new(identity, ClientCertificates::None, ca.certificate()).unwrap();
    let client = ClientTls::new(&Trust::PinnedCa(leaf), None, None).unwrap();
    let met = meet(&server, Mode::Required, Some(&client)).await;
    assert!(matches!(met.client, Err(ClientError::WrongCa { .. })));
}

#[tokio::test]
async fn a_chain_that_only_shows_the_pinned_ca_but_is_not_signed_by_it_is_refused() {
    // Somebody in between has copied the public CA certificate and signs with a key of their own.
    let (ca, attacker) = (new_ca(), new_ca());
    let mut identity = attacker.issue_server(&[], now()).unwrap();
    identity.chain[1] = ca.certificate().clone();
    let server = ServerTls::new(identity, ClientCertificates::None, attacker.certificate()).unwrap();
    let met = meet(&server, Mode::Required, Some(&pinned(&ca, None))).await;
    assert!(met.client.is_err() && met.server.is_err());
}

#[tokio::test]
async fn a_nodes_certificate_is_no_server() {
    // A captured node key must not let anybody play Core.
    let ca = new_ca();
    let mut identity = node_identity(&ca, 7, now());
    identity.chain.push(ca.certificate().clone());
    let server = ServerTls::new(identity, ClientCertificates::None, ca.certificate()).unwrap();
    let met = meet(&server, Mode::Required, Some(&pinned(&ca, None))).await;
    assert!(met.client.is_err());
}

#[tokio::test]
async fn client_certificates_that_are_expired_or_of_another_ca_or_missing_are_refused() {
    let (ca, other) = (new_ca(), new_ca());
    // The CA is younger than the certificate, so that only the certificate's own end counts.
    let expired = node_identity(&ca, 7, now() - 400 * DAY);
    let foreign = node_identity(&other, 7, now());
    let server_as_client = ca.issue_server(&[], now()).unwrap();
    for (what, identity) in
        [("expired", Some(expired)), ("foreign", Some(foreign)), ("a server's", Some(server_as_client))]
    {
        let server = server_tls(&ca, ClientCertificates::Optional);
        let met = meet(&server, Mode::Required, Some(&pinned(&ca, identity))).await;
        assert!(matches!(met.server, Err(AcceptError::Handshake(_))), "{what}");
        assert!(met.client.is_err(), "{what}");
    }
    let server = server_tls(&ca, ClientCertificates::Required);
    let met = meet(&server, Mode::Required, Some(&pinned(&ca, None))).await;
    assert!(matches!(met.server, Err(AcceptError::Handshake(_))));
}

#[tokio::test]
async fn an_expired_server_is_refused_and_its_replacement_is_used_at_once() {
    let ca = new_ca();
    let expired = ca.issue_server(&[], now() - 500 * DAY).unwrap();
    let server = ServerTls::new(expired, ClientCertificates::None, ca.certificate()).unwrap();
    let client = pinned(&ca, None);
    assert!(meet(&server, Mode::Required, Some(&client)).await.client.is_err());
    server.replace(ca.issue_server(&[], now()).unwrap()).unwrap();
    assert!(meet(&server, Mode::Required, Some(&client)).await.client.is_ok());
}

#[tokio::test]
async fn skipping_verification_takes_any_server() {
    let ca = new_ca();
    let expired = ca.issue_server(&[], now() - 500 * DAY).unwrap();
    let server = ServerTls::new(expired, ClientCertificates::None, ca.certificate()).unwrap();
    let client = ClientTls::new(&Trust::Anyone, Some("any.example"), None).unwrap();
    assert!(meet(&server, Mode::Required, Some(&client)).await.client.unwrap().is_tls());
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    // rustls here is built without 1.2, so this is a ClientHello as an old client sends it: RFC 5246
    // 7.4.1.2, version 3.3, one ECDHE suite, signature algorithms, no supported_versions extension.
    let mut hello = vec![0x03, 0x03];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    // Extensions: signature_algorithms (13) with ecdsa_secp256r1_sha256, supported_groups (10) with
    // secp256r1, ec_point_formats (11) uncompressed.
    hello.extend([0, 22, 0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0]);
    let body_len = u16::try_from(hello.len()).unwrap();
    let mut record = vec![0x16, 0x03, 0x01];
    record.extend((body_len + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend(body_len.to_be_bytes());
    record.extend(hello);

    let ca = new_ca();
    let server = server_tls(&ca, ClientCertificates::None);
    let (listener, address) = listen().await;
    let serving = async {
        let (stream, _) = listener.accept().await.unwrap();
        accept(stream, Mode::Required, Some(&server), LIMIT).await
    };
    let asking = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&record).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    };
    let (served, answer) = tokio::join!(serving, asking);
    let Err(AcceptError::Handshake(error)) = served else {
        panic!("{served:?}");
    };
    assert!(error.to_string().contains("peer is incompatible"), "{error}");
    // A fatal alert (21, level 2): protocol_version is 70.
    assert_eq!(answer.first(), Some(&21));
    assert_eq!(answer.get(5..7), Some([2, 70].as_slice()), "{answer:02x?}");
}

#[tokio::test]
async fn modes_tell_tls_from_plain_by_the_first_byte() {
    let ca = new_ca();
    let server = server_tls(&ca, ClientCertificates::None);
    let client = pinned(&ca, None);
    let met = meet(&server, Mode::Optional, Some(&client)).await;
    assert!(met.server.unwrap().is_tls());
    let met = meet(&server, Mode::Optional, None).await;
    assert!(!met.server.unwrap().is_tls() && met.client.is_ok());
    let met = meet(&server, Mode::Required, None).await;
    assert!(matches!(met.server, Err(AcceptError::PlainToTls)));
    let met = meet(&server, Mode::Off, Some(&client)).await;
    assert!(matches!(met.server, Err(AcceptError::TlsToPlain)));
}

#[tokio::test]
async fn garbage_silence_and_half_a_hello_are_told_apart() {
    let ca = new_ca();
    let server = Arc::new(server_tls(&ca, ClientCertificates::None));
    let (listener, address) = listen().await;
    for (sent, expect) in [
        (b"\x16\x03\x01\xff\xff not a handshake at all".as_slice(), "handshake"),
        (b"\x16\x03".as_slice(), "slow_handshake"),
        (b"".as_slice(), "silent"),
    ] {
        let mut peer = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        peer.write_all(sent).await.unwrap();
        // Only the two that wait for nothing run into this deadline; the other ends by itself.
        let deadline = if expect == "handshake" { LIMIT } else { Duration::from_millis(200) };
        let error = accept(stream, Mode::Required, Some(&server), deadline).await.unwrap_err();
        assert_eq!(error.label(), expect, "{error:?}");
    }
}

#[test]
fn the_ca_is_made_once_kept_and_never_overwritten() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("core");
    let first = CertificateAuthority::load_or_create(&dir, now()).unwrap();
    let again = CertificateAuthority::load_or_create(&dir, now()).unwrap();
    assert_eq!(first.fingerprint(), again.fingerprint());
    let years = (first.info().not_after - now()) / (365 * DAY);
    assert!((9..=10).contains(&years) && first.info().is_ca);
    // What the reloaded CA signs is verified by the first one's certificate.
    let identity = again.issue_server(&[], now()).unwrap();
    assert_eq!(identity.chain[1], *first.certificate());

    let load = || CertificateAuthority::load_or_create(&dir, now()).unwrap_err();
    let (pem, key) = (dir.join("ca.pem"), dir.join("ca.key"));
    let kept = std::fs::read(&key).unwrap();
    secret_file::write(&key, NodeKey::generate("x").unwrap().key_pem.as_bytes()).unwrap();
    assert!(matches!(load(), CaError::KeyMismatch { .. }));
    std::fs::remove_file(&key).unwrap();
    assert!(matches!(load(), CaError::HalfThere { .. }));
    secret_file::write(&key, &kept).unwrap();
    std::fs::write(&pem, "-----BEGIN nonsense").unwrap();
    assert!(matches!(load(), CaError::Damaged { .. }));
    let late = CertificateAuthority::create(now() - 4_000 * DAY).unwrap();
    secret_file::write_public(&pem, late.pem().as_bytes()).unwrap();
    assert!(matches!(load(), CaError::KeyMismatch { .. }));
}

#[tokio::test]
async fn a_reloaded_ca_signs_certificates_that_the_first_ones_clients_accept() {
    let temp = tempfile::tempdir().unwrap();
    let first = CertificateAuthority::load_or_create(temp.path(), now()).unwrap();
    let again = CertificateAuthority::load_or_create(temp.path(), now()).unwrap();
    let server = server_tls(&again, ClientCertificates::Required);
    let client = pinned(&first, Some(node_identity(&again, 3, now())));
    let met = meet(&server, Mode::Required, Some(&client)).await;
    assert_eq!(met.server.unwrap().peer_node_id(), Ok(Some(3)));
    met.client.unwrap();
}

#[test]
fn the_server_certificate_is_renewed_when_due_renamed_or_foreign_and_kept_otherwise() {
    let temp = tempfile::tempdir().unwrap();
    let ca = new_ca();
    let issue = |ca: &CertificateAuthority, names: &[&str], at: i64| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let (identity, why) = ca.load_or_issue_server(temp.path(), &names, at).unwrap();
        (CertificateInfo::from_der(&identity.chain[0]).unwrap(), why)
    };
    let (info, why) = issue(&ca, &["localhost", "127.0.0.1", "::1"], now());
    assert_eq!(why, Issued::First);
    assert_eq!(info.names, ["127.0.0.1", "::1", CORE_NAME, "localhost"]);
    let (same, why) = issue(&ca, &["::1", "127.0.0.1", "LocalHost", "localhost"], now());
    assert_eq!((why, same.fingerprint), (Issued::Kept, info.fingerprint));
    assert_eq!(issue(&ca, &["localhost"], now()).1, Issued::NamesChanged);
    assert_eq!(issue(&ca, &["localhost"], now() + 200 * DAY).1, Issued::Kept);
    assert_eq!(issue(&ca, &["localhost"], now() + 300 * DAY).1, Issued::Due);
    assert_eq!(issue(&new_ca(), &["localhost"], now()).1, Issued::Replaced);
    let bad = ca.load_or_issue_server(temp.path(), &["not a name".to_owned()], now());
    assert!(matches!(bad, Err(CaError::BadName { .. })));
    assert_key_is_private(&temp.path().join("server.key"));
}

fn assert_key_is_private(path: &Path) {
    secret_file::read(path, 10_000).unwrap();
}

#[test]
fn no_certificate_outlives_its_ca() {
    let ca = CertificateAuthority::create(now() - 3_600 * DAY).unwrap();
    let key = NodeKey::generate("n").unwrap();
    let pem = ca.sign_node(&key.csr_pem, 1, now()).unwrap();
    let info = CertificateInfo::from_pem(pem.as_bytes()).unwrap();
    assert_eq!(info.not_after, ca.info().not_after);
}

#[test]
fn a_request_gets_its_key_certified_and_nothing_else_it_asks_for() {
    let ca = new_ca();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["core.honeybee.internal".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.subject_alt_names.push(rcgen::SanType::URI("honeybee:node:1".try_into().unwrap()));
    let greedy = params.serialize_request(&key).unwrap().pem().unwrap();
    let pem = ca.sign_node(&greedy, 42, now()).unwrap();
    let info = CertificateInfo::from_pem(pem.as_bytes()).unwrap();
    assert_eq!((info.node_id, info.is_ca), (Some(42), false));
    assert_eq!(info.names, [] as [String; 0]);
    assert_eq!(info.subject, "CN=HoneyBee node 42");
}

#[test]
fn a_renewed_certificate_is_for_the_same_key() {
    let ca = new_ca();
    let key = NodeKey::generate("attic").unwrap();
    let renewed = NodeKey::renew(&key.key_pem, "attic").unwrap();
    assert_eq!(*renewed.key_pem, *key.key_pem);
    let pem = ca.sign_node(&renewed.csr_pem, 5, now()).unwrap();
    let signer = identity_of(&pem, &key);
    ServerTls::new(signer, ClientCertificates::None, ca.certificate()).expect("key and certificate fit");
}

#[test]
fn requests_that_are_forged_oversized_or_nonsense_are_refused() {
    let ca = new_ca();
    let refused = |csr: &str| match ca.sign_node(csr, 1, now()) {
        Err(CaError::RequestRefused { reason }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(refused("nonsense").contains("not a readable"));
    assert!(refused(&"A".repeat(20_000)).contains("16 KiB"));
    // Flip the last bit: the signature no longer matches.
    let csr = NodeKey::generate("n").unwrap().csr_pem;
    let body: String = csr.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = data_encoding::BASE64.decode(body.as_bytes()).unwrap();
    *der.last_mut().unwrap() ^= 1;
    let forged = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        data_encoding::BASE64.encode(&der)
    );
    assert!(refused(&forged).contains("signature"), "{}", refused(&forged));
}
