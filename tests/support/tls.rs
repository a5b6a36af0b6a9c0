//! TLS for test servers: an authority that nobody knows yet, and a server in front of another one.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// How long one side is listened to before it is the other one's turn.
const TURN: Duration = Duration::from_millis(5);

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate whose issuer has its own name to have signed itself.
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority"))
    }

    /// Its certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// What a server of this name (or address) is made with.
    pub fn server(&self, name: &str) -> Arc<ServerConfig> {
        self.server_of(name, None)
    }

    /// The same for one that takes only clients with a certificate of this authority.
    pub fn server_for_known_clients(&self, name: &str) -> Arc<ServerConfig> {
        self.server_of(name, Some(self))
    }

    /// The certificate and the key of a client.
    pub fn client(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    fn server_of(&self, name: &str, clients: Option<&Self>) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().expect("protocol versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from(authority.0.der().to_vec())).expect("an authority");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.expect("a verifier"))
            }
        };
        Arc::new(builder.with_single_cert(chain, key).expect("a server's configuration"))
    }
}

/// Takes off the TLS and passes on to a server that has none; gives the port. Ends with the tests.
pub fn in_front_of(server: SocketAddr, config: Arc<ServerConfig>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let config = Arc::clone(&config);
            // A client that breaks off, as at a certificate that it refuses, is no matter of ours.
            thread::spawn(move || drop(pass_on(stream, server, config)));
        }
    });
    port
}

/// Serves one client that speaks TLS, to its end.
pub fn pass_on(client: TcpStream, server: SocketAddr, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut server = TcpStream::connect(server)?;
    for side in [&client, &server] {
        side.set_read_timeout(Some(TURN))?;
    }
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut client = StreamOwned::new(connection, client);
    while turn(&mut client, &mut server)? && turn(&mut server, &mut client)? {}
    Ok(())
}

/// Passes on what one side has to say now; `false` when it has said all.
fn turn(from: &mut impl Read, to: &mut impl Write) -> io::Result<bool> {
    let mut buffer = [0; 1 << 14];
    match from.read(&mut buffer) {
        Ok(0) => Ok(false),
        Ok(size) => {
            to.write_all(&buffer[..size])?;
            to.flush()?;
            Ok(true)
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(true),
        Err(error) => Err(error),
    }
}
