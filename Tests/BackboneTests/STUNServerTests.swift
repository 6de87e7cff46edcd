import Glibc
import Logging
import MeshPaths
import MeshWire
import NIOCore
import Observability
import ServiceLifecycle
import Testing

@testable import Backbone

@Suite("STUN server", .timeLimit(.minutes(1))) struct STUNServerTests {
  private static let first = IPAddress.v4(0x7f00_0001)
  private static let second = IPAddress.v4(0x7f00_0002)

  /// Two ports that nothing else in this process takes.
  private func ports() async throws -> (UInt16, UInt16) {
    (UInt16(try await freePort()), UInt16(try await freePort()))
  }

  private func addresses(_ places: [IPAddress], _ ports: (UInt16, UInt16)) -> STUNAddresses {
    STUNAddresses(
      places: places.map { .init(local: $0, announced: $0) }, firstPort: ports.0, secondPort: ports.1)
  }

  /// Runs a server while `body` asks it from a thread of its own; the metrics afterwards.
  private func withServer(
    _ addresses: STUNAddresses, _ body: @escaping @Sendable (AskingSocket) throws -> Void
  ) async throws -> String {
    let registry = PrometheusRegistry()
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let server = try await STUNServer.open(addresses, metrics: registry, logger: logger)
    let group = ServiceGroup(configuration: .init(services: [server], logger: logger))
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await group.run() }
      let result = await Task.detached { Result { try body(try AskingSocket()) } }.value
      await group.triggerGracefulShutdown()
      try await tasks.waitForAll()
      try result.get()
    }
    return registry.render()
  }

  private func request(_ attributes: [STUNAttribute] = []) throws -> STUNMessage {
    let transaction = try #require(STUNTransaction((0..<12).map { _ in UInt8.random(in: .min ... .max) }))
    return STUNMessage(.request, transaction, attributes: attributes)
  }

  @Test(arguments: [
    "198.51.100.7:0", "224.0.0.1:9", "169.254.1.1:9", "[fd73:6d01::1]:9", "[fe80::1]:9",
  ])
  func `a request that seems to come from where nothing may go is counted and not answered`(
    source: String
  ) throws {
    let desk = STUNDesk(addresses([Self.first, Self.second], (3_478, 3_479)), clock: TestClock().clock)
    let place = try #require(STUNDesk.sockets(of: addresses([Self.first], (3_478, 3_479))).first).place
    let plain = try request().encoded
    let endpoint = try #require(Endpoint(source))
    desk.take(
      plain, from: try SocketAddress(ipAddress: "\(endpoint.address)", port: Int(endpoint.port)), at: place)
    #expect(desk.counters.values == [0, 0, 0, 0, 1, 0])
    desk.take(plain, from: try SocketAddress(ipAddress: "198.51.100.7", port: 9), at: place)
    #expect(desk.counters.responder.answered == 1)
  }

  @Test func `with two addresses it answers from the socket that it was asked to`() async throws {
    let ports = try await ports()
    let plain = try request()
    let changing = try request([.changeRequest(address: true, port: true)])
    let metrics = try await withServer(addresses([Self.first, Self.second], ports)) { asker in
      let at = Endpoint(Self.first, port: ports.0)
      let (answer, from) = try asker.ask(plain.encoded, at: at)
      #expect(from == at)
      let message = try STUNMessage(decoding: answer)
      #expect(message.transaction == plain.transaction)
      #expect(message.attributes.contains(.xorMappedAddress(asker.local)))
      #expect(message.attributes.contains(.otherAddress(Endpoint(Self.second, port: ports.1))))
      let (_, other) = try asker.ask(changing.encoded, at: at)
      #expect(other == Endpoint(Self.second, port: ports.1))
    }
    #expect(metrics.contains("shadowmesh_backbone_stun_requests_total{outcome=\"answered\"} 2\n"))
  }

  @Test func `with one address it says where the request came from, and can't do more`() async throws {
    let ports = try await ports()
    let plain = try request()
    let changing = try request([.changeRequest(address: true, port: false)])
    let metrics = try await withServer(addresses([Self.first], ports)) { asker in
      let at = Endpoint(Self.first, port: ports.0)
      let message = try STUNMessage(decoding: try asker.ask(plain.encoded, at: at).bytes)
      #expect(message.attributes.first == .xorMappedAddress(asker.local))
      #expect(!message.attributes.contains { if case .otherAddress = $0 { true } else { false } })
      let (refusal, from) = try asker.ask(changing.encoded, at: at)
      #expect(try STUNMessage(decoding: refusal).messageClass == .failure)
      #expect(from == at)
    }
    #expect(metrics.contains("shadowmesh_backbone_stun_requests_total{outcome=\"refused\"} 1\n"))
  }

  @Test func `what is no request, or too many of them, gets no answer and is counted`() async throws {
    let ports = try await ports()
    let plain = try request()
    let limit = 2 * STUNResponder.answersPerSecond
    let metrics = try await withServer(addresses([Self.first], ports)) { asker in
      let at = Endpoint(Self.first, port: ports.0)
      asker.send([1, 2, 3], to: at)
      asker.send(Array(repeating: 0, count: 2_000), to: at)
      for _ in 0..<limit { _ = try asker.ask(plain.encoded, at: at) }
      // The server answers in order: these are behind it when the group has shut down, or dropped with it.
      for _ in 0..<limit { asker.send(plain.encoded, to: at) }
      for _ in 0..<3 { _ = try? asker.ask(plain.encoded, at: at, patience: 200) }
    }
    #expect(metrics.contains("shadowmesh_backbone_stun_requests_total{outcome=\"malformed\"} 2\n"))
    #expect(!metrics.contains("shadowmesh_backbone_stun_requests_total{outcome=\"limited\"} 0\n"))
  }

  @Test func `a port that is taken is named, and nothing stays open`() async throws {
    let ports = try await ports()
    let registry = PrometheusRegistry()
    let logger = Logger(label: "test")
    let holder = try await STUNServer.open(
      addresses([Self.second], (ports.1, ports.0)), metrics: registry, logger: logger)
    await #expect {
      _ = try await STUNServer.open(
        addresses([Self.first, Self.second], ports), metrics: registry, logger: logger)
    } throws: {
      "\($0)".contains("UDP port \(ports.1) of 127.0.0.2 cannot be opened: Address already in use")
    }
    let again = try await STUNServer.open(
      addresses([Self.first], ports), metrics: registry, logger: logger)
    for server in [holder, again] { await server.close() }
  }
}

/// A client's socket on loopback, that waits for answers.
final class AskingSocket {
  private let number: Int32
  let local: Endpoint

  struct NoAnswer: Error {}

  init() throws {
    number = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    var address = Self.raw(Endpoint(.v4(0x7f00_0001), port: 0))
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let number = number
    let bound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(number, $0, size) == 0 && getsockname(number, $0, &size) == 0
      }
    }
    guard bound else { throw NoAnswer() }
    local = Endpoint(
      .v4(UInt32(bigEndian: address.sin_addr.s_addr)), port: UInt16(bigEndian: address.sin_port))
  }

  deinit { close(number) }

  private static func raw(_ endpoint: Endpoint) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    if case .v4(let value) = endpoint.address { address.sin_addr.s_addr = value.bigEndian }
    address.sin_port = endpoint.port.bigEndian
    return address
  }

  func send(_ bytes: [UInt8], to endpoint: Endpoint) {
    var address = Self.raw(endpoint)
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        _ = sendto(number, bytes, bytes.count, 0, $0, size)
      }
    }
  }

  /// Sends and waits for one datagram; throws ``NoAnswer`` when none comes in time.
  func ask(
    _ bytes: [UInt8], at endpoint: Endpoint, patience: Int32 = 10_000
  ) throws -> (bytes: [UInt8], from: Endpoint) {
    send(bytes, to: endpoint)
    var waiting = pollfd(fd: number, events: Int16(POLLIN), revents: 0)
    guard poll(&waiting, 1, patience) == 1 else { throw NoAnswer() }
    var buffer = [UInt8](repeating: 0, count: 2_048)
    var address = sockaddr_in()
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let count = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        recvfrom(number, &buffer, buffer.count, 0, $0, &size)
      }
    }
    guard count >= 0 else { throw NoAnswer() }
    let from = Endpoint(
      .v4(UInt32(bigEndian: address.sin_addr.s_addr)), port: UInt16(bigEndian: address.sin_port))
    return (Array(buffer.prefix(count)), from)
  }
}
