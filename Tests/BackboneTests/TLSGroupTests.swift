import AsyncHTTPClient
import Backbone
import BackboneAPI
import MeshCrypto
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Testing

/// What is negotiated on the wire, read from the server's own bytes.
@Suite("TLS negotiation") struct TLSGroupTests {
  /// What the backbone answers to one `GET /health` under `change`; throws what the request throws.
  private func flight(
    _ backbone: RunningBackbone, _ files: BackboneService.TLSFiles,
    _ change: (inout TLSConfiguration) -> Void
  ) async throws -> (flight: ServerFlight?, status: Int?) {
    var tls = TLSConfiguration.makeClientConfiguration()
    tls.additionalTrustRoots = [.certificates(try NIOSSLCertificate.fromPEMFile(files.certificateFile))]
    change(&tls)
    var settings = HTTPClient.Configuration(tlsConfiguration: tls)
    settings.httpVersion = .http1Only
    settings.timeout.connect = .seconds(5)
    let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
    var result: (ServerFlight?, Int?) = (nil, nil)
    try await RecordingProxy.run(to: backbone.origin.port) { proxy, port in
      let request = HTTPClientRequest(url: "https://127.0.0.1:\(port)/health")
      let response = try? await client.execute(request, timeout: .seconds(10))
      result = (ServerFlight(proxy.answer), response.map { Int($0.status.code) })
    }
    try await client.shutdown()
    return result
  }

  @Test func `a node's client and the backbone agree on X25519MLKEM768 and TLS 1.3`() async throws {
    try await Fixture.withDirectory { directory in
      let files = try TLSTests.makeCertificate(in: directory)
      try await withBackbone(tls: files) { backbone in
        try await RecordingProxy.run(to: backbone.origin.port) { proxy, port in
          let configuration = BackboneClientConfiguration(
            url: "https://127.0.0.1:\(port)", region: Fixture.region,
            backboneKey: Fixture.backboneKey.keyHash, caFile: files.certificateFile)
          try await backbone.withClient(configuration) { client in
            // The proxy's port makes it another audience: an answer, so TLS is through.
            await #expect(throws: BackboneClientError.loginRefused("Login refused")) {
              try await client.logIn(as: Fixture.alice, now: backbone.clock.now)
            }
          }
          #expect(ServerFlight(proxy.answer) == .hybrid)
        }
      }
    }
  }

  @Test func `a client without the hybrid group gets X25519, one with TLS 1.2 at most is refused`()
    async throws
  {
    try await Fixture.withDirectory { directory in
      let files = try TLSTests.makeCertificate(in: directory)
      try await withBackbone(tls: files) { backbone in
        let classical = try await flight(backbone, files) { $0.curves = [.x25519] }
        #expect(classical.flight == .x25519)
        #expect(classical.status == 200)
        let old = try await flight(backbone, files) {
          $0.minimumTLSVersion = .tlsv12
          $0.maximumTLSVersion = .tlsv12
        }
        #expect(old.flight == .protocolVersionAlert)
        #expect(old.status == nil)
      }
    }
  }

  @Test func `a node's client refuses a backbone that speaks TLS 1.2 at most`() async throws {
    try await Fixture.withDirectory { directory in
      let files = try TLSTests.makeCertificate(in: directory)
      var tls = TLSConfiguration.makeServerConfiguration(
        certificateChain: try NIOSSLCertificate.fromPEMFile(files.certificateFile).map { .certificate($0) },
        privateKey: .privateKey(try NIOSSLPrivateKey(file: files.keyFile, format: .pem)))
      tls.maximumTLSVersion = .tlsv12
      let context = try NIOSSLContext(configuration: tls)
      let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
          }
        }
        .bind(host: "127.0.0.1", port: 0).get()
      try await RecordingProxy.run(to: server.localAddress?.port ?? 0) { proxy, port in
        let client = try BackboneClient(
          configuration: BackboneClientConfiguration(
            url: "https://127.0.0.1:\(port)", region: Fixture.region,
            backboneKey: Fixture.backboneKey.keyHash, caFile: files.certificateFile))
        await #expect {
          try await client.logIn(as: Fixture.alice, now: Fixture.now)
        } throws: {
          guard case .unreachable = $0 as? BackboneClientError else { return false }
          return true
        }
        try await client.shutdown()
        #expect(ServerFlight(proxy.answer) == .protocolVersionAlert)
      }
      try await server.close()
    }
  }
}
