import Foundation
import MeshCrypto
import StrictConfiguration
import Testing

@testable import Backbone

@Suite("Backbone configuration and files") struct ConfigurationTests {
  private static let minimal = "region: europe\norigins: [\"https://b.example\"]\nlisten: [\"127.0.0.1:1\"]\n"

  private func refusal(_ text: String) -> String? {
    do throws(ConfigurationError) {
      _ = try BackboneConfiguration(try ConfigurationFile(text: text, name: "b.yaml"))
      return nil
    } catch { return error.description }
  }

  @Test func `the example in packaging is good`() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let example = try BackboneConfiguration(path: root.appendingPathComponent("packaging/backbone.yaml").path)
    #expect(example.settings.region == Fixture.region)
    #expect(example.listeners.first?.port == 8_443)
    #expect(example.listeners.first?.tls?.certificateFile == "/etc/shadowmesh/backbone.pem")
  }

  @Test(arguments: [
    ("", nil),
    ("colour: red", "b.yaml:4: colour: unknown key"),
    ("listen: [\"0.0.0.0:80\"]", "given more than once"),
    ("tls:\n  certificate_file: a", "tls: expected both certificate_file and key_file"),
    ("admission:\n  mode: closed", "b.yaml:5: admission.mode: expected one of: open, invite, list"),
    ("admission:\n  mode: list", "admission.keys: is required"),
    ("admission:\n  keys: []", "admission.keys: counts only with"),
    ("token_life: 10s", "b.yaml:4: token_life: expected a time"),
    ("limits:\n  logins_per_minute: 0", "limits.logins_per_minute: expected a whole number from 1"),
    ("nodes:\n  - region: europe", "nodes[0].address: is required"),
  ])
  func `each mistake is named`(text: String, expected: String?) throws {
    let refusal = refusal(Self.minimal + text)
    guard let expected else {
      #expect(refusal == nil)
      return
    }
    #expect(try #require(refusal).contains(expected), "\(refusal ?? "")")
  }

  @Test func `plain HTTP beyond loopback has to be permitted`() throws {
    let text = "region: europe\norigins: [\"http://b.example\"]\nlisten: [\"0.0.0.0:80\"]\n"
    #expect(try #require(refusal(text)).contains("allow_plain_http: true"))
    #expect(refusal(text + "allow_plain_http: true\n") == nil)
  }

  @Test func `keys are made once, kept private, and never overwritten`() async throws {
    try await Fixture.withDirectory { parent in
      let path = parent + "/state"
      let state = try StateDirectory(path: path)
      let identity = try state.identity()
      #expect(try state.identity().keyHash == identity.keyHash)
      _ = try state.regionKeys()
      for name in ["", "/identity.key", "/region-keys.json"] {
        let attributes = try FileManager.default.attributesOfItem(atPath: path + name)
        let mode = (attributes[.posixPermissions] as? NSNumber)?.intValue
        #expect(mode == (name.isEmpty ? 0o700 : 0o600))
      }
    }
  }

  @Test func `rotating changes the token key that signs, and nothing else`() async throws {
    try await Fixture.withDirectory { parent in
      let state = try StateDirectory(path: parent + "/state")
      let (identity, before) = (try state.identity(), try state.regionKeys())
      #expect(try state.regionKeys().tokenKeys.map(\.secret) == before.tokenKeys.map(\.secret))
      #expect(try state.rotateTokenKey() == false)
      let after = try state.regionKeys()
      #expect(after.challengeKey == before.challengeKey)
      #expect(try state.identity().keyHash == identity.keyHash)
      #expect(after.tokenKeys.count == 2)
      #expect(after.tokenKeys[0].secret != before.tokenKeys[0].secret)
      #expect(after.tokenKeys[0].id != before.tokenKeys[0].id)
      // What was signed before is still verified, until a second rotation, which says so.
      #expect(after.tokenKeys[1].secret == before.tokenKeys[0].secret)
      #expect(after.tokenKeys[1].id == before.tokenKeys[0].id)
      #expect(try state.rotateTokenKey())
      #expect(try state.regionKeys().tokenKeys.map(\.id).contains(before.tokenKeys[0].id) == false)
    }
  }

  @Test func `a key that others can read, or that is half written, is refused and left alone`() async throws {
    try await Fixture.withDirectory { parent in
      let path = parent + "/state"
      let state = try StateDirectory(path: path)
      let file = path + "/identity.key"
      _ = try state.identity()
      try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: file)
      #expect {
        try state.identity()
      } throws: {
        "\($0)".contains("chmod 600")
      }
      let half = Data("0123".utf8)
      try half.write(to: URL(fileURLWithPath: file))
      try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file)
      #expect(throws: StateFileError.self) { try state.identity() }
      #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == half)
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
      #expect(throws: StateFileError.self) { try StateDirectory(path: path) }
    }
  }
}
