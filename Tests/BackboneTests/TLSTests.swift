import BackboneAPI
import Foundation
import MeshCrypto
import MeshWire
import Testing

@testable import Backbone

@Suite("TLS") struct TLSTests {
  /// A certificate for 127.0.0.1 that is its own authority, made by the openssl program.
  static func makeCertificate(in directory: String) throws -> BackboneService.TLSFiles {
    let files = BackboneService.TLSFiles(
      certificateFile: directory + "/certificate.pem", keyFile: directory + "/key.pem")
    let openssl = Process()
    openssl.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    openssl.arguments = [
      "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
      "-days", "2", "-subj", "/CN=backbone test", "-addext", "subjectAltName=IP:127.0.0.1",
      "-keyout", files.keyFile, "-out", files.certificateFile,
    ]
    openssl.standardError = FileHandle.nullDevice
    try openssl.run()
    openssl.waitUntilExit()
    try #require(openssl.terminationStatus == 0)
    return files
  }

  @Test func `a login over TLS needs a certificate that the client trusts`() async throws {
    try await Fixture.withDirectory { directory in
      let files = try Self.makeCertificate(in: directory)
      try await withBackbone(tls: files) { backbone in
        let trusting = BackboneClientConfiguration(
          url: backbone.origin.description, region: Fixture.region,
          backboneKey: Fixture.backboneKey.keyHash, caFile: files.certificateFile)
        #expect(backbone.origin.scheme == "https")
        let session = try await backbone.withClient(trusting) {
          try await $0.logIn(as: Fixture.alice, now: backbone.clock.now)
        }
        #expect(session.nodes == Fixture.settings().nodes)
        try await backbone.withClient { client in
          await #expect {
            try await client.logIn(as: Fixture.alice, now: backbone.clock.now)
          } throws: {
            guard case .unreachable = $0 as? BackboneClientError else { return false }
            return true
          }
        }
      }
    }
  }

  @Test func `a CA file that isn't one is named`() {
    #expect {
      try BackboneClient(
        configuration: BackboneClientConfiguration(
          url: "https://127.0.0.1:1", region: Fixture.region, backboneKey: nil, caFile: "/nowhere.pem"))
    } throws: {
      "\($0)".contains("the CA file /nowhere.pem cannot be used")
    }
  }
}
