import CLinux
import Daemon
import Glibc
import MeshCrypto
import MeshNode
import MeshWire
import Synchronization

/// What the poller reports, a bit each.
private enum Source {
  static let socket: Int32 = 1
  static let device: Int32 = 2
  static let timer: Int32 = 4
  static let mailbox: Int32 = 8
}

/// The loop itself: owns the core, and lives and dies on one thread. Per packet it allocates nothing.
///
/// One turn: wait; take commands and results; at most a fair share of datagrams and one of packets; timers;
/// send; count. Whatever the core emits goes into the send buffer in the order in which it came.
@safe struct LoopEngine<Core: NodeCore>: ~Copyable {
  /// Datagrams, or packets of the device, that one turn takes before it looks at the other side. Datagrams
  /// that the kernel joined come together: a turn may take one batch more.
  static var fairShare: Int { 128 }
  /// Bytes read at most from the device at once: the largest IPv6 packet without jumbograms.
  static var packetLimit: Int { 65_575 }
  /// What the core may add to a packet: it may become two datagrams, with their headers and tags.
  static var sealingRoom: Int { 3_000 }
  /// How old the core's drops may be in the metrics while packets flow.
  static var reportInterval: Duration { .seconds(1) }

  private var core: Core
  private let parts: LoopParts<Core>
  private let streams: any StreamCarrier
  private let pool: CryptoPool
  private let poller: Descriptor
  private let timer: Descriptor
  private let device: Int32
  private var receiver: DatagramReceiver
  private var sender: DatagramSender
  private let packet: UnsafeMutablePointer<UInt8>
  private let metrics: NodeMetrics
  private var coreDrops: CoreDropMetrics
  private var reportDue = Instant(nanoseconds: 0)
  private var counts = LoopCounts()
  private var sentBefore = clinux_send_counts()
  /// Where the socket said that a datagram of that many bytes is larger than the path, in the last flush. One
  /// a flush: others show in the next.
  private var refusedPath: (size: Int, to: Endpoint)?
  /// What goes out on streams in this turn.
  private var streamed: [StreamDatagram] = []
  /// Jobs that the pool refused, answered at the next turn. Never more than the core's bound on actions.
  private var refusedTickets: [CryptoTicket] = []
  private var armed: Instant?
  private var now: Instant

  init(
    parts: LoopParts<Core>, streams: any StreamCarrier, pool: CryptoPool, core: Core, now: Instant
  ) throws(SystemError) {
    let receiver = try DatagramReceiver()
    let sender = try DatagramSender()
    let poller = Descriptor(try SystemError.check(clinux_poller_open()))
    let timer = Descriptor(try SystemError.check(clinux_timer_open()))
    let device = parts.device.descriptor
    for (number, source) in [
      (parts.socket.descriptor.number, Source.socket), (device, Source.device), (timer.number, Source.timer),
      (parts.mailbox.wake.number, Source.mailbox),
    ] {
      try SystemError.check(clinux_poller_add(poller.number, number, UInt32(source)))
    }
    unsafe packet = UnsafeMutablePointer.allocate(capacity: Self.packetLimit)
    self.receiver = receiver
    self.sender = sender
    self.poller = poller
    self.timer = timer
    self.device = device
    self.core = core
    self.parts = parts
    self.streams = streams
    metrics = NodeMetrics(factory: parts.metrics)
    coreDrops = CoreDropMetrics(factory: parts.metrics)
    self.pool = pool
    self.now = now
  }

  deinit { unsafe packet.deallocate() }

  /// Turns until it is told to stop, or until the device is lost.
  mutating func run() throws(NodeLoopError) {
    finishTurn(mustAdvance: true)
    while true {
      let ready = clinux_poller_wait(poller.number, refusedTickets.isEmpty ? -1 : 0)
      if ready < 0 { throw .system(SystemError(code: -ready)) }
      now = HostClock.now
      if ready & Source.timer != 0 {
        _ = clinux_event_take(timer.number)
        armed = nil
      }
      answerRefusals()
      if ready & Source.mailbox != 0, !takeMail() { return }
      if ready & Source.socket != 0 { takeDatagrams() }
      if ready & Source.device != 0 { try takePackets() }
      finishTurn(mustAdvance: false)
    }
  }

  private mutating func finishTurn(mustAdvance: Bool) {
    now = HostClock.now
    if mustAdvance || core.nextDeadline.map({ $0 <= now }) == true {
      core.advance(to: now, wall: HostClock.wall)
      performActions()
    }
    flushDatagrams()
    // Told before anything else is sealed: what TCP repeats next must not be too large again.
    tellRefusedPath()
    flushDatagrams()
    flushStreams()
    armTimer()
    if now >= reportDue { reportDrops() }
    flushMetrics()
  }

  private mutating func tellRefusedPath() {
    guard let refused = refusedPath else { return }
    refusedPath = nil
    core.pathRefused(size: refused.size, to: refused.to, now: now)
    performActions()
  }

  private mutating func flushMetrics() {
    metrics.flush(&counts, refusedCommands: parts.mailbox.refusals.exchange(0, ordering: .relaxed))
  }

  private mutating func reportDrops() {
    reportDue = now + Self.reportInterval
    coreDrops.report(core.counters.drops)
  }

  /// A deadline that moved back leaves the timer alone: one idle wake-up costs less than a call each turn.
  private mutating func armTimer() {
    guard let deadline = core.nextDeadline else { return }
    if let armed, armed <= deadline { return }
    armed = deadline
    _ = clinux_timer_arm(timer.number, max(1, deadline.nanoseconds))
  }

  // MARK: Commands and results

  /// Returns whether the loop goes on.
  private mutating func takeMail() -> Bool {
    let contents = parts.mailbox.drain()
    for (ticket, result) in contents.results {
      core.completed(ticket, result, now: now)
      performActions()
    }
    for change in contents.streamChanges {
      switch change {
      case .opened(let stream): core.streamOpened(stream, now: now)
      case .closed(let stream): core.streamClosed(stream, now: now)
      }
      performActions()
    }
    for datagram in contents.streamed {
      var bytes = datagram.bytes
      unsafe bytes.withUnsafeMutableBufferPointer { bytes in
        guard let start = bytes.baseAddress else { return }
        unsafe open(start, count: bytes.count, from: Endpoint(datagram.stream))
      }
    }
    let wall = HostClock.wall
    for command in contents.commands {
      command.run(&core, now, wall)
      performActions()
    }
    if contents.isStopping {
      flushDatagrams()
      flushStreams()
      reportDrops()
      flushMetrics()
    }
    return !contents.isStopping
  }

  private mutating func answerRefusals() {
    guard !refusedTickets.isEmpty else { return }
    let tickets = refusedTickets
    refusedTickets.removeAll(keepingCapacity: true)
    for ticket in tickets {
      core.completed(ticket, .failed, now: now)
      performActions()
    }
  }

  private mutating func performActions() {
    while let action = core.nextAction() {
      switch action {
      case .send(let bytes, let endpoint):
        guard !endpoint.address.isCarrier else {
          carry(bytes, to: endpoint)
          continue
        }
        let room = unsafe space(for: bytes.count)
        _ = unsafe room.update(fromContentsOf: bytes)
        sender.commit(bytes.count, to: endpoint)
      case .deliver(let bytes):
        unsafe bytes.withUnsafeBufferPointer { buffer in
          if let start = buffer.baseAddress { unsafe deliver(start, count: buffer.count) }
        }
      case .compute(let ticket, let job):
        if !pool.submit(job, for: ticket) {
          refusedTickets.append(ticket)
          counts.refusedJobs += 1
        }
      case .askBackbone(let lookup, let target): publish(.askBackbone(lookup, target))
      case .openStream(let stream, let endpoint, let certificate):
        streams.open(stream, to: endpoint, certificate: certificate)
      case .closeStream(let stream): streams.close(stream)
      case .event(let event): publish(.event(event))
      }
    }
  }

  private mutating func publish(_ notice: NodeNotice) {
    if case .dropped = parts.notices.yield(notice) { counts.lostNotices += 1 }
  }

  // MARK: Datagrams in

  private mutating func takeDatagrams() {
    var taken = 0
    while taken < Self.fairShare {
      let entries: Int
      do { entries = try receiver.receive(from: parts.socket) } catch {
        // Errors of the network are reported once each; waiting for the next datagram is all there is to do.
        counts.hostDrops[.socketError, default: 0] += 1
        return
      }
      for index in 0..<entries {
        let slot = unsafe receiver.slot(index)
        if unsafe slot.isTruncated {
          counts.hostDrops[.truncated, default: 0] += 1
          continue
        }
        if unsafe slot.from.address.isCarrier {
          counts.hostDrops[.noCarrier, default: 0] += 1
          continue
        }
        var offset = 0
        repeat {
          let size = unsafe min(slot.segment, slot.count - offset)
          unsafe open(slot.bytes + offset, count: size, from: slot.from)
          offset += size
          taken += 1
        } while unsafe offset < slot.count
      }
      if entries < DatagramReceiver.slots { return }
    }
  }

  private mutating func open(_ start: UnsafeMutablePointer<UInt8>, count: Int, from source: Endpoint) {
    counts.datagramsIn += 1
    counts.datagramBytesIn += UInt64(count)
    var datagram = unsafe MutableSpan(_unsafeStart: start, count: count)
    switch core.receive(&datagram, from: source, now: now) {
    case .packet(let range):
      precondition(range.upperBound <= count, "the core names bytes outside of the datagram")
      unsafe deliver(start + range.lowerBound, count: range.count)
    case .consumed: break
    case .dropped: break  // The core counted it.
    }
    performActions()
  }

  private mutating func deliver(_ start: UnsafePointer<UInt8>, count: Int) {
    while true {
      if unsafe write(device, start, count) >= 0 {
        counts.packetsToDevice += 1
        counts.packetBytesToDevice += UInt64(count)
        return
      }
      switch errno {
      case EINTR: continue
      case EAGAIN, ENOBUFS: counts.hostDrops[.deviceFull, default: 0] += 1
      default: counts.hostDrops[.deviceRefused, default: 0] += 1
      }
      return
    }
  }

  // MARK: Packets out

  private mutating func takePackets() throws(NodeLoopError) {
    for _ in 0..<Self.fairShare {
      let count = unsafe read(device, packet, Self.packetLimit)
      if count < 0 {
        switch errno {
        case EAGAIN: return
        case EINTR: continue
        default: throw .deviceLost(name: parts.device.name, .last)
        }
      }
      if count == 0 { throw .deviceLost(name: parts.device.name, nil) }
      counts.packetsFromDevice += 1
      counts.packetBytesFromDevice += UInt64(count)
      seal(count)
      performActions()
    }
  }

  private mutating func seal(_ count: Int) {
    let room = unsafe space(for: count + Self.sealingRoom)
    let packet = unsafe Span(_unsafeStart: self.packet, count: count)
    var output = unsafe MutableSpan(_unsafeElements: room)
    switch core.send(packet, into: &output, now: now) {
    case .datagram(let size, let endpoint):
      guard endpoint.address.isCarrier else { return sender.commit(size, to: endpoint) }
      unsafe carry(Array(room[..<size]), to: endpoint)
    case .pair(let first, let second, let endpoint):
      guard endpoint.address.isCarrier else {
        sender.commit(first, to: endpoint)
        return sender.commit(second, to: endpoint)
      }
      unsafe carry(Array(room[..<first]), to: endpoint)
      unsafe carry(Array(room[first..<first + second]), to: endpoint)
    case .queued, .relayed, .dropped: break  // The core counted it.
    }
  }

  /// Lays a datagram down for its stream. Circuits are the core's own: what is for one has been wrapped
  /// there.
  private mutating func carry(_ bytes: [UInt8], to endpoint: Endpoint) {
    guard case .stream(let stream) = endpoint.carrier else { return count(.noCarrier, 1) }
    streamed.append(StreamDatagram(stream: stream, bytes: bytes))
    if streamed.count >= Self.fairShare { flushStreams() }
  }

  private mutating func flushStreams() {
    guard !streamed.isEmpty else { return }
    streams.send(streamed)
    streamed.removeAll(keepingCapacity: true)
  }

  /// Room in the send buffer, which is flushed when it has none.
  private mutating func space(for count: Int) -> UnsafeMutableBufferPointer<UInt8> {
    if let room = unsafe sender.space(for: count) { return unsafe room }
    flushDatagrams()
    guard let room = unsafe sender.space(for: count) else {
      preconditionFailure("\(count) bytes are more than the whole send buffer")
    }
    return unsafe room
  }

  private mutating func count(_ drop: HostDrop, _ amount: UInt64) {
    if amount > 0 { counts.hostDrops[drop, default: 0] += amount }
  }

  private mutating func flushDatagrams() {
    if sender.isEmpty { return }
    sender.flush(to: parts.socket)
    let sent = sender.counts
    counts.datagramsOut += sent.sent - sentBefore.sent
    counts.datagramBytesOut += sent.sent_bytes - sentBefore.sent_bytes
    count(.sendBufferFull, sent.buffer_full - sentBefore.buffer_full)
    count(.datagramTooBig, sent.too_big - sentBefore.too_big)
    count(.unreachable, sent.unreachable - sentBefore.unreachable)
    count(.sendFailed, sent.failed - sentBefore.failed)
    if sent.too_big > sentBefore.too_big {
      refusedPath = (Int(sent.too_big_size), sent.too_big_to.endpoint)
    }
    sentBefore = sent
  }
}
