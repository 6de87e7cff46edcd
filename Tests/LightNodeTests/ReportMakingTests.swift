import ControlAPI
import MeshCrypto
import MeshWire
import Testing

@testable import LightNode
@testable import MeshNode

@Suite("Reports")
struct ReportMakingTests {
  @Test("a peer without a session is shown with the reason for that")
  func trouble() throws {
    let keyHash = try IdentityKey().keyHash
    let entry = PeerBook.Entry(
      name: try #require(PeerName("bob")), peerID: keyHash.peerID, keyHash: keyHash, allow: [],
      endpoints: [])
    var status = PeerStatus(
      peerID: keyHash.peerID, keyHash: keyHash, overlayAddress: OverlayAddress(of: keyHash.peerID),
      state: .idle, packetsIn: 0, packetsOut: 0, bytesIn: 0, bytesOut: 0)
    #expect(PeerReport(entry, status, handshake: nil).path.reason == "no session")
    status.trouble = "a record of it that the backbone has was refused: its signature is wrong"
    let report = PeerReport(entry, status, handshake: nil)
    #expect(
      report.path.reason
        == "no session: a record of it that the backbone has was refused: its signature is wrong")
    #expect(report.path.kind == "none" && report.session == "idle")
  }
}
