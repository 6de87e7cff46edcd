import Dispatch
import Foundation
import Glibc
import Logging
import NIOCore
import Synchronization
import Testing

@testable import ControlAPI
@testable import LightNode

@Suite("Control server")
struct ControlServerTests {
  private let folder: TemporaryFolder
  private let path: String

  init() throws {
    folder = try TemporaryFolder()
    path = folder.path + "/control.sock"
  }

  /// The group of a folder that this test made.
  private var ownGroup: String {
    let attributes = try? FileManager.default.attributesOfItem(atPath: folder.path)
    return attributes?[.groupOwnerAccountName] as? String ?? "root"
  }

  private func server(_ group: String, _ answering: @escaping ControlServer.Answering) -> ControlServer {
    let logger = Logger(label: "test")
    return ControlServer(
      socket: ControlSocket(path: path, group: group, logger: logger), logger: logger, answering: answering)
  }

  /// Runs a server, and `body` (which may block) once it listens.
  private func serving<R: Sendable>(
    group: String? = nil, _ answering: @escaping ControlServer.Answering,
    _ body: @escaping @Sendable () throws -> R
  ) async throws -> R {
    let server = server(group ?? ownGroup, answering)
    return try await withThrowingTaskGroup(of: Void.self) { tasks in
      let (listening, signal) = AsyncStream.makeStream(of: Void.self)
      tasks.addTask { try await server.run { signal.finish() } }
      for await _ in listening {}
      let result: R = try await withCheckedThrowingContinuation { waiter in
        DispatchQueue.global().async { waiter.resume(with: Result(catching: body)) }
      }
      tasks.cancelAll()
      return result
    }
  }

  private static let peer = PeerReport(
    name: PeerName("bob")!, peerID: "01", keyHash: nil, address: "fd73:6d::1", allow: [],
    session: "idle", path: .absent)

  @Test func aRequestIsAnswered() async throws {
    let path = path
    let answer = try await serving { request, emit in
      #expect(request == .removePeer(name: PeerName("bob")!))
      try await emit(.peer(Self.peer), false)
    } _: {
      try ControlClient(socketPath: path).send(.removePeer(name: PeerName("bob")!))
    }
    #expect(answer == .peer(Self.peer))
  }

  @Test func severalLinesComeInOrder() async throws {
    let path = path
    let count = try await serving { _, emit in
      try await emit(.peers([Self.peer]), true)
      try await emit(.peers([Self.peer, Self.peer]), true)
      try await emit(.peers([]), false)
    } _: {
      var sizes: [Int] = []
      try ControlClient(socketPath: path).send(.peers) { answer in
        if case .peers(let peers) = answer { sizes.append(peers.count) }
      }
      return sizes
    }
    #expect(count == [1, 2, 0])
  }

  @Test func aFailureArrivesAsOne() async throws {
    let path = path
    let failure = ControlFailure(.notFound, "no such peer", next: "shadowmesh peers")
    let got = try await serving { _, _ in
      throw failure
    } _: {
      Result { try ControlClient(socketPath: path).send(.status) }
    }
    #expect(throws: failure) { try got.get() }
  }

  @Test("A stop while programs come and go at the socket is clean: nothing crashes, the socket goes away")
  func stopsUnderLoad() async throws {
    let path = path
    for _ in 0..<15 {
      _ = try await serving { _, emit in
        try await emit(.peers([]), false)
      } _: {
        let isOver = Mutex(false)
        let ready = DispatchSemaphore(value: 0)
        for _ in 0..<4 {
          DispatchQueue.global().async {
            while !isOver.withLock({ $0 }) {
              _ = try? ControlClient(socketPath: path).send(.peers, timeout: 1)
              ready.signal()
            }
          }
        }
        for _ in 0..<8 { ready.wait() }
        // They go on while the server ends.
        DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(20)) {
          isOver.withLock { $0 = true }
        }
      }
      #expect(!FileManager.default.fileExists(atPath: path))
    }
  }

  @Test("The 33rd program at once is told that there are too many")
  func tooManyClients() async throws {
    let path = path
    let refusals = try await serving { _, emit in
      try await emit(.peers([]), true)
      for await _ in AsyncStream<Void>.makeStream().stream {}  // until the server ends
    } _: {
      let held = try (0..<ControlServer.clientLimit).map { _ in
        try UnixStream(connectingTo: path, timeout: 30)
      }
      defer { for stream in held { stream.close() } }
      // Whose first line has come is counted.
      for stream in held {
        try stream.write(ControlLine.encode(ControlEnvelope(ControlRequest.peers)))
        _ = try #require(try stream.readLine(limit: ControlLine.maximumLength))
      }
      // A refused program may be told before it has written, and then its writing fails.
      for _ in 0..<1_000 {
        do { _ = try ControlClient(socketPath: path).send(.status) } catch let failure as ControlFailure {
          return failure.message
        } catch {}
      }
      return ""
    }
    #expect(refusals.contains("32 programs are talking to the daemon"))
  }

  @Test("The socket's directory is made when it is missing, and others can get to the socket")
  func makesItsDirectory() async throws {
    let inner = folder.path + "/run/control.sock"
    let socket = ControlSocket(path: inner, group: ownGroup, logger: Logger(label: "test"))
    let channel = try await socket.listen()
    try await channel.executeThenClose { _ in }
    #expect(try folder.mode(of: folder.path + "/run") == 0o755)
  }

  /// Mode and group of the socket while it is served.
  private func access(group: String?) async throws -> (mode: Int?, group: String?) {
    let path = path
    return try await serving(group: group) { _, _ in
    } _: {
      let attributes = try FileManager.default.attributesOfItem(atPath: path)
      let mode = (attributes[.posixPermissions] as? NSNumber)?.intValue
      return (mode, attributes[.groupOwnerAccountName] as? String)
    }
  }

  @Test("The socket has mode 0660 and the control group while it is served, and is gone afterwards")
  func socketMode() async throws {
    // Root has more than one group to choose from; group 1 is "daemon" everywhere.
    let group = geteuid() == 0 ? "daemon" : ownGroup
    let access = try await access(group: group)
    #expect(access.mode == 0o660)
    #expect(access.group == group)
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test("Without the control group nobody but the daemon's own user may write to the socket")
  func noGroup() async throws {
    let access = try await access(group: "no-such-group")
    #expect(try #require(access.mode) & 0o022 == 0)
  }

  @Test("A socket that a daemon serves is not taken from it")
  func taken() async throws {
    let path = path
    let other = server(ownGroup) { _, _ in }
    let isRefused = try await serving { _, emit in
      try await emit(.peers([]), false)
    } _: {
      let done = DispatchSemaphore(value: 0)
      let result = ResultBox()
      Task {  // why: the test thread blocks for it below
        do { _ = try await other.socket.listen() } catch { result.set("\(error)") }
        done.signal()
      }
      done.wait()
      return result.text.contains("another daemon serves \(path)")
    }
    #expect(isRefused)
  }

  @Test("A line that is too long, or no request, is answered and ends the connection")
  func badLines() async throws {
    let path = path
    for line in ["hello\n", String(repeating: "x", count: 70_000)] {
      let answer = try await serving { _, _ in
      } _: {

        let stream = try UnixStream(connectingTo: path, timeout: 30)
        defer { stream.close() }
        try stream.write(Data(line.utf8))
        return try stream.readLine(limit: ControlLine.maximumLength)

      }
      let body = try ControlLine.decode(ControlAnswer.self, from: answer ?? Data()).body
      guard case .failure(let failure) = body else {
        Issue.record("expected a failure")
        return
      }
      #expect(failure.kind == .badRequest)
    }
  }
}

private final class ResultBox: Sendable {
  private let state = Mutex("")
  var text: String { state.withLock { $0 } }
  func set(_ text: String) { state.withLock { $0 = text } }
}
