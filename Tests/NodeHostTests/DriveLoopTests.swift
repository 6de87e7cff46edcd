import CLinux
import Daemon
import Glibc
import MeshCrypto
import MeshNode
import MeshWire
import MetricsTestKit
import Synchronization
import Testing

@testable import NodeHost

/// A loop with a recording core between a socket pair and loopback.
struct LoopBench {
  let device: PairedDevice
  let peer: UDPSocket
  let port: UInt16
  let loop: DriveLoop<RecordingCore>
  let metrics = TestMetrics()

  init(
    socket given: UDPSocket? = nil,
    perform: @escaping @Sendable (CryptoJob) -> CryptoResult = { _ in .verified(true) },
    prepare: @escaping @Sendable (inout RecordingCore, Instant) -> Void = { _, _ in }
  ) throws {
    device = try PairedDevice()
    peer = try UDPSocket(port: 0, address: .v6(1))
    let socket = try given ?? UDPSocket(port: 0, address: .v6(1))
    port = socket.local.port
    let target = peer.local
    loop = try DriveLoop(socket: socket, device: device, metrics: metrics, perform: perform) { now, _, seed in
      var core = RecordingCore()
      core.peer = target
      #expect(seed.count == 32 && Set(seed).count > 1)
      prepare(&core, now)
      return core
    }
  }

  var endpoint: Endpoint { Endpoint(.v6(1), port: port) }

  /// Sends datagrams to the loop, each by a call of its own.
  func send(_ datagrams: [[UInt8]]) throws {
    var sender = try DatagramSender()
    for datagram in datagrams {
      try UDPSocketTests.put(datagram, to: endpoint, in: &sender)
      sender.flush(to: peer)
    }
    let counts = sender.counts
    #expect(counts.sent == UInt64(datagrams.count))
  }

  /// Runs the loop while `body` does; then stops it and waits for its end.
  func running<R: Sendable>(_ body: @Sendable () async throws -> R) async throws -> R {
    let loop = loop
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await loop.run() }
      let result: R
      do {
        // Bodies wait in the kernel: by then, the loop must not need a thread of Swift's pool any more.
        try await loop.perform { _, _, _ in }
        result = try await body()
      } catch {
        loop.stop()
        throw error
      }
      loop.stop()
      try await group.waitForAll()
      return result
    }
  }
}

@Suite("Drive loop", .timeLimit(.minutes(1)))
struct DriveLoopTests {
  @Test("packets go from the device to the peer, datagrams to the device, both in order and whole")
  func bothWays() async throws {
    let bench = try LoopBench()
    try await bench.running {
      for size in 1...40 { bench.device.put([UInt8](repeating: UInt8(size), count: size * 30)) }
      let sent = try UDPSocketTests.collect(40, from: bench.peer)
      #expect(sent.map(\.bytes.count) == (1...40).map { $0 * 30 + 1 })
      #expect(
        sent.allSatisfy { $0.bytes[1] == ~UInt8(($0.bytes.count - 1) / 30) && $0.from == bench.endpoint })

      try bench.send((1...40).map { [UInt8(ascii: "P")] + [UInt8](repeating: ~UInt8($0), count: $0) })
      for size in 1...40 { #expect(bench.device.take() == [UInt8](repeating: UInt8(size), count: size)) }
    }
  }

  @Test("a pair becomes two datagrams, and what is queued or dropped none")
  func pairs() async throws {
    let bench = try LoopBench()
    try await bench.running {
      bench.device.put(Array("Q".utf8))
      bench.device.put(Array("D".utf8))
      bench.device.put(Array("2x".utf8))
      bench.device.put(Array("1".utf8))
      let sent = try UDPSocketTests.collect(3, from: bench.peer)
      #expect(
        sent.map { $0.bytes.dropFirst().map { ~$0 } } == [Array("2x".utf8), [205, 135], Array("1".utf8)])
    }
  }

  @Test("what the core emits is sent in answer to what came")
  func echoes() async throws {
    let bench = try LoopBench()
    try await bench.running {
      try bench.send([Array("E".utf8), Array("E".utf8)])
      #expect(try UDPSocketTests.collect(2, from: bench.peer).map(\.bytes) == [[101], [101]])
    }
  }

  @Test("what moves and what is dropped, here or by the core, shows in the metrics with its reason")
  func metrics() async throws {
    let bench = try LoopBench()
    try await bench.running {
      bench.device.put(Array("D".utf8))
      bench.device.put(Array("U".utf8))
      bench.device.put(Array("1234".utf8))
      _ = try UDPSocketTests.collect(1, from: bench.peer)
      try bench.send([Array("Pxyz".utf8)])
      _ = bench.device.take()
    }
    func total(_ label: String, _ dimensions: (String, String)...) throws -> Int64 {
      try bench.metrics.expectCounter("shadowmesh.\(label)", dimensions).totalValue
    }
    #expect(try total("drops", ("reason", "no_route")) == 1)
    #expect(try total("drops", ("reason", "send_failed")) == 1)
    #expect(try total("drops", ("reason", "send_buffer_full")) == 0)
    #expect(try total("packets", ("direction", "out")) == 3)
    #expect(try total("packet_bytes", ("direction", "out")) == 6)
    #expect(try total("datagrams", ("direction", "out")) == 1)
    #expect(try total("datagram_bytes", ("direction", "out")) == 5)
    #expect(try total("datagrams", ("direction", "in")) == 1)
    #expect(try total("packet_bytes", ("direction", "in")) == 3)
  }

  @Test("a flood of datagrams does not starve the device: the fair share")
  func fairness() async throws {
    let bench = try LoopBench()
    // Sizes alternate, so that the kernel does not join them.
    try bench.send((0..<400).map { Array("D-"[..<"D-".index("D-".startIndex, offsetBy: 1 + $0 % 2)].utf8) })
    bench.device.put([1])
    let calls = try await bench.running {
      _ = try UDPSocketTests.collect(1, from: bench.peer)
      return try await bench.loop.perform { core, _, _ in core.calls }
    }
    let before = try #require(calls.firstIndex(of: .sent(count: 1)))
    #expect(before <= LoopEngine<RecordingCore>.fairShare + DatagramReceiver.slots + 1)
  }

  @Test("the timer wakes an idle loop when the core wants it, also when a deadline moves forward")
  func timers() async throws {
    let bench = try LoopBench(prepare: { core, now in core.nextDeadline = now + .seconds(3_000) })
    try await bench.running {
      try await bench.loop.perform { core, now, _ in core.nextDeadline = now + .milliseconds(20) }
      var notices = bench.loop.notices.makeAsyncIterator()
      guard case .event(.peerLost(_, reason: "due")) = await notices.next() else {
        Issue.record("no event of the timer")
        return
      }
      #expect(try await bench.loop.perform { core, _, _ in core.calls } == [.advanced, .advanced])
    }
  }

  @Test("jobs go to the pool and their results come back")
  func jobs() async throws {
    let bench = try LoopBench(perform: { _ in .signed([1]) })
    try await bench.running {
      try await bench.loop.perform { core, _, _ in
        for number in 1...50 {
          core.actions.append(.compute(CryptoTicket(number: UInt64(number)), .makeOffer))
        }
      }
      var done = 0
      while done < 50 {
        done = try await bench.loop.perform { core, _, _ in
          core.calls.count { if case .completed(_, failed: false) = $0 { true } else { false } }
        }
      }
    }
  }

  @Test("more jobs than the pool holds are answered as failed, each once: the bound of the pool")
  func jobOverflow() async throws {
    let gate = Mutex(false)
    let bench = try LoopBench(perform: { _ in
      while !gate.withLock({ $0 }) { sched_yield() }
      return .signed([1])
    })
    try await bench.running {
      let total = 400
      try await bench.loop.perform { core, _, _ in
        for number in 1...total {
          core.actions.append(.compute(CryptoTicket(number: UInt64(number)), .makeOffer))
        }
      }
      @Sendable func answers() async throws -> [UInt64: Bool] {
        let calls = try await bench.loop.perform { core, _, _ in core.calls }
        return Dictionary(
          uniqueKeysWithValues: calls.compactMap {
            if case .completed(let ticket, let failed) = $0 { (ticket, failed) } else { nil }
          })
      }
      var refused = try await answers()
      let threads = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)) - 1)
      while refused.count < total - CryptoPool.jobLimit - threads { refused = try await answers() }
      #expect(refused.count <= total - CryptoPool.jobLimit)
      #expect(refused.values.allSatisfy { $0 })
      gate.withLock { $0 = true }
      var all = try await answers()
      while all.count < total { all = try await answers() }
      #expect(all.values.count { $0 } == refused.count)
    }
  }

  @Test("notices that nobody reads are lost past the bound, and the loop goes on")
  func noticeBound() async throws {
    let bench = try LoopBench()
    try await bench.running {
      try await bench.loop.perform { core, _, _ in
        for number in 0..<2_000 {
          core.actions.append(.event(.peerLost(RecordingCore.anyPeer, reason: String(number))))
        }
      }
      _ = try await bench.loop.perform { _, _, _ in }
    }
    var reasons: [String] = []
    for await case .event(.peerLost(_, let reason)) in bench.loop.notices { reasons.append(reason) }
    #expect(reasons == (0..<DriveLoop<RecordingCore>.noticeLimit).map(String.init))
  }

  @Test("a datagram that is larger than its path is told to the core at once, with its size and endpoint")
  func pathRefused() async throws {
    let bench = try LoopBench()
    let peer = bench.peer.local
    try await bench.running {
      try await bench.loop.perform { core, _, _ in
        core.actions.append(.send(Array(repeating: 0, count: 66_000), to: peer))
      }
      // What the core says to that comes though nothing else wakes the loop.
      #expect(
        try UDPSocketTests.collect(1, from: bench.peer, patience: 20_000).map(\.bytes) == [
          [UInt8(ascii: "r")]
        ])
      let calls = try await bench.loop.perform { core, _, _ in core.calls }
      #expect(calls.contains(.pathRefused(size: 66_000, peer)))
    }
    let drops = try bench.metrics.expectCounter("shadowmesh.drops", [("reason", "datagram_too_big")])
    #expect(drops.totalValue == 1)
  }

  @Test(
    "what the socket does not take at once is dropped, and shows in the metrics as send_buffer_full",
    .enabled(if: mayMakeDevices, needsDevices))
  func sendBufferFull() async throws {
    // Nobody answers for 192.0.2.2: what is sent there waits for its link address, in the send buffer.
    let choked = inNetworkNamespace { () -> UDPSocket? in
      let commands = [
        "ip link add near type veth peer name far", "ip address add 192.0.2.1/24 dev near",
        "ip link set far up", "ip link set near up",
      ]
      guard system(commands.joined(separator: " && ")) == 0, let socket = try? UDPSocket(port: 0) else {
        return nil
      }
      var size: Int32 = 1
      setsockopt(socket.descriptor.number, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<Int32>.size))
      return socket
    }
    let bench = try LoopBench(socket: try #require(choked ?? nil))
    let nobody = Endpoint(.v4(0xc000_0202), port: 9)
    let total: Int64 = 40
    try await bench.running {
      for _ in 0..<total {
        try await bench.loop.perform { core, _, _ in
          core.actions.append(.send(Array(repeating: 0, count: 1_000), to: nobody))
        }
      }
    }
    let drops = try bench.metrics.expectCounter("shadowmesh.drops", [("reason", "send_buffer_full")])
    let sent = try bench.metrics.expectCounter("shadowmesh.datagrams", [("direction", "out")])
    #expect(drops.totalValue > 0)
    #expect(sent.totalValue > 0)
    #expect(drops.totalValue + sent.totalValue == total)
  }

  @Test("stopping ends the run, closes device and port, and refuses commands from then on")
  func stopping() async throws {
    let bench = try LoopBench()
    try await bench.running {}
    #expect(bench.device.take() == [])
    try UDPSocket(port: bench.port, address: .v6(1)).close()
    await #expect(throws: NodeLoopError.stopped) { try await bench.loop.perform { _, _, _ in } }
    await #expect(throws: NodeLoopError.alreadyRan) { try await bench.loop.run() }
    bench.loop.stop()
  }

  @Test("cancelling the task is a normal end")
  func cancelling() async throws {
    let bench = try LoopBench()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await bench.loop.run() }
      try await bench.loop.perform { _, _, _ in }
      group.cancelAll()
      try await group.waitForAll()
    }
    #expect(bench.device.take() == [])
  }

  @Test("a device that goes away ends the run with its name")
  func deviceLost() async throws {
    let bench = try LoopBench()
    bench.device.far.close()
    let error = await #expect(throws: NodeLoopError.self) { try await bench.loop.run() }
    #expect(try #require(error) == .deviceLost(name: "paired", nil))
    await #expect(throws: NodeLoopError.stopped) { try await bench.loop.perform { _, _, _ in } }
  }
}

@Suite("Mailbox")
struct MailboxTests {
  @Test("commands are bounded: one too many is refused as busy, those at the end as stopped")
  func bound() throws {
    let mailbox = try Mailbox<RecordingCore>()
    let refusals = RefusalLog()
    for _ in 0..<Mailbox<RecordingCore>.commandLimit + 2 { mailbox.post(refusals.command) }
    #expect(refusals.errors == [.busy, .busy])
    #expect(mailbox.refusals.load(ordering: .relaxed) == 2)
    #expect(mailbox.drain().commands.count == Mailbox<RecordingCore>.commandLimit)
    mailbox.post(refusals.command)
    mailbox.close()
    mailbox.post(refusals.command)
    #expect(refusals.errors == [.busy, .busy, .stopped, .stopped])
  }

  private final class RefusalLog: Sendable {
    private let log = Mutex<[NodeLoopError]>([])
    var errors: [NodeLoopError] { log.withLock { $0 } }
    var command: Mailbox<RecordingCore>.Command {
      Mailbox.Command(run: { _, _, _ in }, refuse: { error in self.log.withLock { $0.append(error) } })
    }
  }
}

@Suite("Crypto pool", .timeLimit(.minutes(1)))
struct CryptoPoolTests {
  @Test("at most 256 jobs wait, every accepted one is delivered once, and none after the end")
  func bound() throws {
    let gate = Mutex(false)
    let delivered = DeliveryLog()
    let pool = try CryptoPool(
      threads: 2,
      perform: { _ in
        while !gate.withLock({ $0 }) { sched_yield() }
        return .failed
      }, delivery: { ticket, _ in delivered.note(ticket) })
    var accepted: [UInt64] = []
    for number in 0..<1_000 as Range<UInt64> where pool.submit(.makeOffer, for: CryptoTicket(number: number))
    {
      accepted.append(number)
    }
    #expect((CryptoPool.jobLimit...CryptoPool.jobLimit + 2).contains(accepted.count))
    gate.withLock { $0 = true }
    while delivered.tickets.count < accepted.count { sched_yield() }
    pool.stop()
    #expect(delivered.tickets.sorted() == accepted)
    #expect(!pool.submit(.makeOffer, for: CryptoTicket(number: 1)))
  }

  private final class DeliveryLog: Sendable {
    private let log = Mutex<[UInt64]>([])
    var tickets: [UInt64] { log.withLock { $0 } }
    func note(_ ticket: CryptoTicket) { log.withLock { $0.append(ticket.number) } }
  }
}
