import Foundation
import Logging
import MeshWire
import Testing

@testable import LightNode

@Suite("Entry relay over restarts")
struct EntryRelayTests {
  private let place: TemporaryFolder
  private let entry: EntryRelay
  private let relay = KeyHash([UInt8](repeating: 0xab, count: 32))!

  init() throws {
    place = try TemporaryFolder()
    entry = EntryRelay(folder: StateFolder(directory: place.path), logger: Logger(label: "test"))
  }

  private var path: String { place.path + "/entry.relay" }

  @Test func whatIsKeptIsThereAtTheNextStart() throws {
    #expect(entry.kept() == nil)
    entry.keep(relay)
    #expect(entry.kept() == relay)
    #expect(try place.mode(of: path) == 0o600)
  }

  @Test func oneThatIsGivenUpIsNotTakenBack() {
    entry.keep(relay)
    entry.keep(nil)
    #expect(entry.kept() == nil)
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test(
    "A file that holds something else is no reason not to start, and is written over",
    arguments: ["", "ab\n", String(repeating: "ab", count: 32), String(repeating: "x", count: 300)])
  func damaged(content: String) throws {
    _ = try place.write(content, to: "entry.relay")
    #expect(entry.kept() == nil)
    entry.keep(relay)
    #expect(entry.kept() == relay)
  }

  @Test func aDiskThatTakesNothingIsNoReasonToStop() throws {
    try FileManager.default.removeItem(atPath: place.path)
    entry.keep(relay)
    #expect(entry.kept() == nil)
  }
}
