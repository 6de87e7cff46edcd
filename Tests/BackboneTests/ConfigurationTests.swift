import Foundation
import MeshCrypto
import StrictConfiguration
import Testing

@testable import Backbone

@Suite("Backbone configuration") struct ConfigurationTests {
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
}
