//! A name server that knows one name, in the way of RFC 1035.

use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

const HEADER: usize = 12;
const TYPE_A: u16 = 1;
/// Response, recursion desired and available.
const ANSWER: u16 = 0x8180;
/// RCODE 3, NXDOMAIN.
const NO_SUCH_NAME: u16 = 3;

/// Answers on port 53, the only one that a resolver asks. Ends with the tests.
pub struct Dns {
    address: IpAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Dns {
    /// Knows that this name is 127.0.0.1, and of no other that it does not exist.
    ///
    /// # Errors
    /// Port 53 may be for root alone.
    pub fn of(name: &str) -> io::Result<Self> {
        // Any address of 127.0.0.0/8 is this machine's, and another test may have taken one.
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 53, fastrand::u8(1..255), fastrand::u8(1..255)), 53))?;
        let address = socket.local_addr()?.ip();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (name, questions) = (name.to_owned(), Arc::clone(&asked));
        thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((size, client)) = socket.recv_from(&mut packet) {
                if let Some((question, answer)) = answer(&packet[..size], &name) {
                    questions.lock().unwrap_or_else(PoisonError::into_inner).push(question);
                    // Who asked may have gone.
                    let _ = socket.send_to(&answer, client);
                }
            }
        });
        Ok(Self { address, asked })
    }

    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The names that were asked for so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The name that a query asks for, and the answer to it; `None` for what is no query.
fn answer(query: &[u8], known: &str) -> Option<(String, Vec<u8>)> {
    let mut labels = Vec::new();
    let mut place = HEADER;
    loop {
        let length = usize::from(*query.get(place)?);
        place += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(place..place + length)?).into_owned());
        place += length;
    }
    let name = labels.join(".");
    let kind = u16::from_be_bytes([*query.get(place)?, *query.get(place + 1)?]);
    let exists = name == known;
    let has_address = exists && kind == TYPE_A;
    let mut answer = query.get(..2)?.to_vec();
    let flags = ANSWER | if exists { 0 } else { NO_SUCH_NAME };
    for number in [flags, 1, u16::from(has_address), 0, 0] {
        answer.extend(number.to_be_bytes());
    }
    answer.extend(query.get(HEADER..place + 4)?);
    if has_address {
        // The name by a pointer to the question, class IN, 60 s, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some((name, answer))
}
