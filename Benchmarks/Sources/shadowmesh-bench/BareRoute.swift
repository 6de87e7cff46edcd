import Foundation
import Hummingbird

/// The yardstick for look-ups: Hummingbird with one route that returns the same bytes whatever is asked.
enum BareRoute {
  static func serve(port: Int, body: [UInt8]) async throws {
    let buffer = ByteBuffer(bytes: body)
    let router = Router()
    router.get("/api/peers/lookup") { _, _ in
      Response(
        status: .ok, headers: [.contentType: "application/json"], body: ResponseBody(byteBuffer: buffer))
    }
    let application = Application(
      router: router, configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: port)))
    try await application.runService()
  }
}
