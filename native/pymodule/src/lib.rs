//! The engine as a Python extension: numbers, texts and bytes in, the same out. What they mean stands in
//! turnd/dataplane/contract.py and fairlead/native/_engine.pyi; turnd/dataplane/native.py and stund/native.py call it.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::RawFd;

use engine::{
    Answer, Answering, Buffers, Challenger, Challenges, Channel, Client, FiveTuple, METHODS, Mistake, Moment, Options,
    Permission, Ports, Rate, Reason, Tally, Transport, Up,
};
use pyo3::exceptions::{PyKeyError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

/// Host and port.
type Address = (String, u16);
/// Transport, client and server.
type Tuple = (String, Address, Address);
/// Packets, then bytes: to peer by channel, by indication, to client by channel, by indication.
type Flow = ([u64; 4], [u64; 4]);
/// What was relayed, dropped, the panics, Binding requests, challenges, and what was handed over; see Engine.totals().
type Sums = (Flow, Vec<u64>, u64, [u64; 4], ([u64; 4], [u64; 2]), u64);
/// Listener, path, five tuple (None: it is for a stream), bytes.
type Item<'py> = (u32, u64, Option<Tuple>, Bound<'py, PyBytes>);
/// Relay, host, and whether only relayed ports are permitted.
type PermissionRow = (u64, String, bool);
/// Relay, number and peer.
type ChannelRow = (u64, u16, Address);

fn host(text: &str) -> PyResult<IpAddr> {
    let bare = text.split_once('%').map_or(text, |(bare, _)| bare);
    bare.parse().map_err(|_| PyValueError::new_err(format!("'{text}' is no IP address")))
}

fn address((text, port): &Address) -> PyResult<SocketAddr> {
    let scope = text.split_once('%').and_then(|(_, zone)| zone.parse().ok()).unwrap_or(0);
    Ok(match host(text)? {
        IpAddr::V6(host) => SocketAddrV6::new(host, *port, 0, scope).into(),
        IpAddr::V4(host) => SocketAddr::new(host.into(), *port),
    })
}

fn address_text(address: SocketAddr) -> Address {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => (format!("{}%{}", v6.ip(), v6.scope_id()), v6.port()),
        other => (other.ip().to_string(), other.port()),
    }
}

const TRANSPORTS: [(&str, Transport); 4] =
    [("udp", Transport::Udp), ("tcp", Transport::Tcp), ("tls", Transport::Tls), ("dtls", Transport::Dtls)];

fn five_tuple((transport, client, server): &Tuple) -> PyResult<FiveTuple> {
    let known = TRANSPORTS.iter().find(|(word, _)| word == transport);
    let (_, transport) = known.ok_or_else(|| PyValueError::new_err(format!("{transport:?} is no transport")))?;
    Ok(FiveTuple { transport: *transport, client: address(client)?, server: address(server)? })
}

fn five_tuple_text(tuple: FiveTuple) -> Tuple {
    let word = TRANSPORTS[tuple.transport as usize].0;
    (word.to_string(), address_text(tuple.client), address_text(tuple.server))
}

fn flow(tally: Tally) -> Flow {
    (tally.packets, tally.bytes)
}

fn mistake(mistake: Mistake) -> PyErr {
    match mistake {
        Mistake::Open(number) => PyValueError::new_err(format!("{number} is open already")),
        Mistake::Unknown(relay) => PyKeyError::new_err(relay),
    }
}

fn ports(own_relayed: bool) -> Ports {
    if own_relayed { Ports::OwnRelayed } else { Ports::Any }
}

/// Seconds of time.monotonic(); infinity is never.
fn moment(seconds: f64) -> Moment {
    (seconds * 1e9) as Moment
}

/// What the kernel said, as Python says it.
fn refused(error: &io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(number) => {
            let text = error.to_string();
            PyOSError::new_err((number, text.split(" (os error").next().unwrap_or_default().to_string()))
        }
        None => PyOSError::new_err(error.to_string()),
    }
}

/// One engine, until it is closed.
#[pyclass(module = "fairlead.native._engine")]
struct Engine(Option<engine::Engine>);

fn closed() -> PyErr {
    PyValueError::new_err("the engine is closed")
}

impl Engine {
    fn open(&self) -> PyResult<&engine::Engine> {
        self.0.as_ref().ok_or_else(closed)
    }

    fn open_mut(&mut self) -> PyResult<&mut engine::Engine> {
        self.0.as_mut().ok_or_else(closed)
    }

    fn require_family(&self, relay: u64, peer: IpAddr) -> PyResult<()> {
        if self.open()?.address(relay).map_err(mistake)?.is_ipv4() == peer.is_ipv4() {
            Ok(())
        } else {
            Err(PyValueError::new_err(format!("{peer} is not of the relay socket's family")))
        }
    }
}

#[pymethods]
impl Engine {
    #[new]
    fn new(
        aliases: Vec<(String, String)>,
        buffers: ((usize, usize), (usize, usize)),
        by_ring: bool,
        threads: usize,
        seed: &[u8],
        stun_only: bool,
        buckets: usize,
    ) -> PyResult<Self> {
        let pairs = aliases.iter().map(|(told, bound)| Ok((host(told)?, host(bound)?)));
        let seed = seed.iter().fold(0u128, |number, byte| number << 8 | u128::from(*byte));
        let each = |(receive, send)| Buffers { receive, send };
        let options = Options {
            aliases: pairs.collect::<PyResult<_>>()?,
            listener_buffers: each(buffers.0),
            relay_buffers: each(buffers.1),
            by_ring,
            threads,
            seed,
            stun_only,
            buckets,
        };
        Ok(Engine(Some(engine::Engine::new(options).map_err(|error| refused(&error))?)))
    }

    fn fileno(&self) -> PyResult<i32> {
        Ok(self.open()?.descriptor())
    }

    /// Items as (listener, path, five tuple or None for stream data, bytes).
    fn take<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Vec<Item<'py>>> {
        let items = self.open()?.take(most).into_iter().map(|item| match item {
            Up::Datagram { listener, path, five_tuple, data, .. } => {
                (listener, path, Some(five_tuple_text(five_tuple)), PyBytes::new(py, &data))
            }
            Up::Stream { listener, path, data } => (listener, path, None, PyBytes::new(py, &data)),
        });
        Ok(items.collect())
    }

    /// What has gone wrong inside, as (thread, text); before take().
    fn take_faults(&self) -> PyResult<Vec<(u64, String)>> {
        Ok(self.open()?.take_faults().into_iter().map(|fault| (fault.thread, fault.text)).collect())
    }

    fn open_listener(&mut self, listener: u32, at: Address) -> PyResult<Address> {
        let opened = self.open_mut()?.open_listener(listener, address(&at)?);
        opened.map_err(|error| refused(&error))?.map(address_text).map_err(mistake)
    }

    /// Reads a bound socket; its descriptor stays the caller's.
    fn adopt_listener(&mut self, listener: u32, descriptor: RawFd) -> PyResult<Address> {
        let adopted = self.open_mut()?.adopt_listener(listener, descriptor);
        adopted.map_err(|error| refused(&error))?.map(address_text).map_err(mistake)
    }

    /// What becomes of Binding requests: a rate of 0 a second is no limit.
    fn set_answering(&self, answers: bool, classic: bool, per_second: f64, burst: f64) -> PyResult<()> {
        self.open()?.set_answering(Answering { answers, classic, rate: Rate { per_second, burst } });
        Ok(())
    }

    /// Has requests without integrity challenged, each source so often: a rate of 0 a second is no limit.
    fn challenge(&self, realm: &str, nonce_key: &[u8], per_second: f64, burst: f64) -> PyResult<()> {
        let challenger = Challenger::new(realm, nonce_key);
        self.open()?.challenge(Challenges { challenger, rate: Rate { per_second, burst } });
        Ok(())
    }

    /// The receive buffer that the kernel gave each socket of a listener, as SO_RCVBUF would ask for it.
    fn receive_buffer(&self, listener: u32) -> PyResult<usize> {
        let given = self.open()?.receive_buffer(listener);
        given.map_err(|error| refused(&error))?.map_err(mistake)
    }

    fn close_listener(&mut self, py: Python<'_>, listener: u32) -> PyResult<()> {
        let engine = self.open_mut()?;
        py.detach(|| engine.close_listener(listener));
        Ok(())
    }

    fn open_relay(&mut self, relay: u64, at: Address) -> PyResult<()> {
        let opened = self.open_mut()?.open_relay(relay, address(&at)?);
        opened.map_err(|error| refused(&error))?.map_err(mistake)
    }

    fn set_client(&mut self, py: Python<'_>, relay: u64, client: Tuple, listener: u32, path: u64) -> PyResult<()> {
        let client = Client { five_tuple: five_tuple(&client)?, listener, path };
        let engine = self.open_mut()?;
        py.detach(|| engine.set_client(relay, client)).map_err(mistake)
    }

    fn close_relay(&mut self, py: Python<'_>, relay: u64) -> PyResult<Flow> {
        let engine = self.open_mut()?;
        Ok(flow(py.detach(|| engine.close_relay(relay))))
    }

    fn usage(&self, py: Python<'_>, relay: u64) -> PyResult<Flow> {
        let engine = self.open()?;
        py.detach(|| engine.usage(relay)).map(flow).map_err(mistake)
    }

    /// Rates as (bytes a second, burst): of the relay socket, and of all that the user has.
    fn limit(&mut self, relay: u64, user: &str, own: (f64, f64), shared: (f64, f64)) -> PyResult<()> {
        let rate = |(per_second, burst)| Rate { per_second, burst };
        self.open_mut()?.limit(relay, user, rate(own), rate(shared)).map_err(mistake)
    }

    /// From a moment on, in seconds of time.monotonic(), nothing passes.
    fn set_deadline(&mut self, relay: u64, until: f64) -> PyResult<()> {
        self.open_mut()?.set_deadline(relay, moment(until)).map_err(mistake)
    }

    fn permit(&self, relay: u64, to: &str, own_relayed: bool, until: f64) -> PyResult<()> {
        let permission = Permission { relay, host: host(to)?, ports: ports(own_relayed) };
        self.require_family(relay, permission.host)?;
        self.open()?.permit(permission, moment(until)).map_err(mistake)
    }

    fn revoke(&self, relay: u64, to: &str, own_relayed: bool) -> PyResult<()> {
        self.open()?.revoke(Permission { relay, host: host(to)?, ports: ports(own_relayed) });
        Ok(())
    }

    fn bind(&self, relay: u64, number: u16, peer: Address, until: f64) -> PyResult<()> {
        let channel = Channel { relay, number, peer: address(&peer)? };
        self.require_family(relay, channel.peer.ip())?;
        if channel.peer.port() == 0 {
            return Err(PyValueError::new_err(format!("channel {number:#x} is for port 0")));
        }
        self.open()?.bind(channel, moment(until)).map_err(mistake)
    }

    fn unbind(&self, relay: u64, number: u16, peer: Address) -> PyResult<()> {
        self.open()?.unbind(Channel { relay, number, peer: address(&peer)? });
        Ok(())
    }

    fn deny(&self, peers: Vec<Address>) -> PyResult<()> {
        self.open()?.deny(peers.iter().map(address).collect::<PyResult<_>>()?);
        Ok(())
    }

    /// Answers to UDP clients, as ((listener, path), five tuple, bytes).
    fn send(&mut self, answers: Vec<((u32, u64), Tuple, PyBackedBytes)>) -> PyResult<()> {
        let clients: Vec<FiveTuple> =
            answers.iter().map(|(_, client, _)| five_tuple(client)).collect::<PyResult<_>>()?;
        let rows = answers.iter().zip(clients);
        let answers =
            rows.map(|(((listener, path), _, data), client)| Answer { listener: *listener, path: *path, client, data });
        self.open_mut()?.send(answers);
        Ok(())
    }

    fn send_from_relay(
        &self,
        py: Python<'_>,
        relay: u64,
        peer: Address,
        data: &[u8],
        dont_fragment: bool,
    ) -> PyResult<()> {
        let (engine, peer, data) = (self.open()?, address(&peer)?, data.into());
        py.detach(|| engine.send_from_relay(relay, peer, data, dont_fragment));
        Ok(())
    }

    /// False when the message is not for the data plane.
    fn deliver(&self, client: Tuple, listener: u32, path: u64, data: &[u8]) -> PyResult<bool> {
        Ok(self.open()?.deliver(Client { five_tuple: five_tuple(&client)?, listener, path }, data))
    }

    /// Every permission and every channel.
    fn routes(&self, py: Python<'_>) -> PyResult<(Vec<PermissionRow>, Vec<ChannelRow>)> {
        let engine = self.open()?;
        let (permissions, channels) = py.detach(|| engine.routes());
        let permissions =
            permissions.iter().map(|row| (row.relay, row.host.to_string(), row.ports == Ports::OwnRelayed));
        let channels = channels.iter().map(|row| (row.relay, row.number, address_text(row.peer)));
        Ok((permissions.collect(), channels.collect()))
    }

    /// The flow of all threads, what was dropped in the order of REASONS, how often a thread panicked, Binding
    /// requests that were answered (over IPv4, with a FINGERPRINT, over IPv6, with a FINGERPRINT), challenges that were
    /// sent (to Allocate, Refresh, CreatePermission, ChannelBind) and withheld (from requests without integrity, from
    /// those of strangers), and how many packets one thread handed over to another.
    fn totals(&self, py: Python<'_>) -> PyResult<Sums> {
        let engine = self.open()?;
        let totals = py.detach(|| engine.totals());
        let challenges = (totals.challenges, totals.withheld);
        Ok((flow(totals.relayed), totals.dropped, totals.panics, totals.bindings, challenges, totals.handed_over))
    }

    /// Returns when all that has arrived is dealt with, for tests: under a steady load, never.
    fn settle(&self, py: Python<'_>) -> PyResult<()> {
        let engine = self.open()?;
        py.detach(|| engine.settle());
        Ok(())
    }

    #[cfg(feature = "panic-injection")]
    fn panic(&self, thread: usize) -> PyResult<()> {
        self.open()?.panic(thread);
        Ok(())
    }

    fn close(&mut self, py: Python<'_>) {
        let engine = self.0.take();
        py.detach(|| drop(engine));
    }
}

/// Raises OSError where the kernel, or who watches over the process, refuses rings.
#[pyfunction]
fn probe_ring() -> PyResult<()> {
    engine::Ring::probe().map_err(|error| refused(&error))
}

/// The native engine.
#[pymodule]
fn _engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Engine>()?;
    module.add("CHALLENGED", METHODS)?;
    module.add_function(wrap_pyfunction!(probe_ring, module)?)?;
    module.add("REASONS", Reason::ALL.iter().map(|reason| reason.word()).collect::<Vec<_>>())
}
