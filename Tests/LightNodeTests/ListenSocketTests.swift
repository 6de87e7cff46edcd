import Foundation
import Logging
import MeshWire
import NodeHost
import StrictConfiguration
import Synchronization
import Testing

@testable import LightNode

@Suite("Listen socket")
struct ListenSocketTests {
  private let place: TemporaryFolder
  private let folder: StateFolder

  init() throws {
    place = try TemporaryFolder()
    folder = StateFolder(directory: place.path)
  }

  private func opener(drawing ports: [UInt16] = []) -> ListenSocket {
    var opener = ListenSocket(folder: folder, logger: Logger(label: "test"))
    let left = Mutex(ports)
    if !ports.isEmpty { opener.draw = { left.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] } } }
    return opener
  }

  @Test func aDrawnPortIsKeptForTheNextStart() throws {
    let first = try opener().open(.auto)
    let port = first.local.port
    first.close()
    #expect(ListenPort.randomRange.contains(port))
    #expect(try folder.readListenPort() == port)
    let second = try opener().open(.auto)
    defer { second.close() }
    #expect(second.local.port == port)
  }

  @Test func aPortThatAnotherProgramHasIsDrawnAnew() throws {
    let taken = try UDPSocket(port: 0)
    defer { taken.close() }
    let free = try UDPSocket(port: 0)
    let port = free.local.port
    free.close()
    try folder.writeListenPort(taken.local.port)
    let socket = try opener(drawing: [taken.local.port, port]).open(.auto)
    defer { socket.close() }
    #expect(socket.local.port == port)
    #expect(try folder.readListenPort() == port)
  }

  @Test func drawingEnds() throws {
    let taken = try UDPSocket(port: 0)
    defer { taken.close() }
    #expect(throws: UDPSocketError.self) { try opener(drawing: [taken.local.port]).open(.auto) }
    #expect(try folder.readListenPort() == nil)
  }

  @Test func aDamagedFileIsNoReasonNotToStart() throws {
    _ = try place.write("port\n", to: "listen.port")
    #expect(throws: StateFolder.Damaged.self) { try folder.readListenPort() }
    let socket = try opener().open(.auto)
    defer { socket.close() }
    #expect(try folder.readListenPort() == socket.local.port)
  }

  @Test func aPublicNodeListensWhereOthersExpectIt() throws {
    func port(_ text: String) throws -> ListenPort {
      try LightNodeConfiguration.load(file: .init(text: text, name: "a.yaml"), flags: []).listenPort
    }
    #expect(try port("service_type: private") == .auto)
    #expect(try port("service_type: public") == .fixed(8_443))
    #expect(try port("service_type: public\nlisten_port: auto") == .auto)
    #expect(try port("service_type: public\nlisten_port: 9000") == .fixed(9_000))
  }
}
