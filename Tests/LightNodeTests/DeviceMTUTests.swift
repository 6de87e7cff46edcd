import Logging
import Synchronization
import Testing

@testable import LightNode

@Suite("The device's MTU")
struct DeviceMTUTests {
  private struct Refused: Error {}

  private func mtu(_ wanted: LightNodeConfiguration.MTU, _ seen: SeenSizes) -> DeviceMTU {
    DeviceMTU(wanted, logger: Logger(label: "test")) { try seen.take($0) }
  }

  @Test func itFollowsThePathsUpAndDown() {
    let seen = SeenSizes()
    let mtu = mtu(.auto, seen)
    #expect(mtu.current == 1_280)
    for bytes in [1_419, 1_419, 1_280] { mtu.follow(bytes) }
    #expect(seen.all == [1_419, 1_280])
    #expect(mtu.current == 1_280)
  }

  @Test func aNumberStays() {
    let seen = SeenSizes()
    let mtu = mtu(.fixed(1_300), seen)
    mtu.follow(1_419)
    #expect(mtu.current == 1_300)
    #expect(seen.all.isEmpty)
  }

  @Test func whatTheDeviceRefusedIsNotShown() {
    let seen = SeenSizes()
    seen.isRefusing.withLock { $0 = true }
    let mtu = mtu(.auto, seen)
    mtu.follow(1_419)
    #expect(mtu.current == 1_280)
  }

  private final class SeenSizes: Sendable {
    private let sizes = Mutex<[Int]>([])
    let isRefusing = Mutex(false)
    var all: [Int] { sizes.withLock { $0 } }
    func take(_ bytes: Int) throws {
      if isRefusing.withLock({ $0 }) { throw Refused() }
      sizes.withLock { $0.append(bytes) }
    }
  }
}
