import MeshCrypto
import MeshNode
import MeshWire
import Testing

@testable import Simulation

/// A peer whose address changes.
@Suite struct MoveTests {
  /// Before, a session that had fallen silent stayed in use while attempts at the old address failed, and
  /// with a session nobody is looked up: it took until its keys ended, four minutes.
  @Test func aPeerThatHasMovedIsLookedUpOnceItsSessionFallsSilent() {
    var chance = Chance(seed: 4)
    var world = World(seed: 4)
    var plans = (1...2).map { number in
      HostPlan(
        identity: .standIn(&chance), endpoint: Endpoint(.v4(0xc612_0001 + UInt32(number) << 8), port: 8_443))
    }
    // Behind a NAT that lets in nobody whom the first hasn't written to: the second can't call from
    // elsewhere.
    plans[0].nats = [world.addNAT(.symmetric, at: .v4(0xc612_0901))]
    plans[0].endpoint = Endpoint(.v4(0x0a00_0002), port: 8_443)
    let (a, b) = (world.addHost(plans[0]), world.addHost(plans[1]))
    world.add(a, asPeerOf: b, at: [])
    world.add(b, asPeerOf: a, at: [plans[1].endpoint])
    world.publish(b, admitting: [a])
    #expect(HandshakeCase.converge(&world, a, b))

    world.move(b, to: Endpoint(.v4(0xc612_2001), port: 8_443))
    world.publish(b, admitting: [a])
    let moved = world.now
    #expect(HandshakeCase.converge(&world, a, b))
    #expect(world.now - moved < .seconds(80), "15 s of silence, 30 s of an attempt, a wait")
  }

  @Test(arguments: [100_005, 200_009, 300_003] as [UInt64])
  func casesThatNeverConnectedAgainOnce(_ seed: UInt64) {
    let outcome = HandshakeCase(seed: seed).play()
    #expect(outcome.violation == nil && outcome.isConnected, "\(outcome.story)")
  }
}
