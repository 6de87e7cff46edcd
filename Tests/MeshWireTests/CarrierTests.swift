import MeshWire
import Testing

@Suite struct CarrierTests {
  @Test func anEndpointRemembersWhatCarriesIt() {
    let stream = StreamNumber(number: .max, origin: 0xab_cdef)
    #expect(Endpoint(stream).carrier == .stream(stream))
    let circuit = CircuitNumber(number: 0x8000_0001)
    #expect(Endpoint(circuit).carrier == .circuit(circuit))
    #expect(Endpoint(.v4(0xc633_6401), port: 1).carrier == .udp)
    #expect(Endpoint(.v6(0x2001_0db8 << 96), port: 1).carrier == .udp)
  }

  @Test func nobodyCanNameOneToUs() {
    #expect(!Endpoint(StreamNumber(number: 1)).isDialable)
    #expect(!Endpoint(CircuitNumber(number: 1)).isDialable)
  }

  @Test func streamsAreLimitedByTheNetworkThatTheyComeFrom() {
    let one = Endpoint(StreamNumber(number: 1, origin: 7)).address.limitPrefix
    #expect(one == Endpoint(StreamNumber(number: 2, origin: 7)).address.limitPrefix)
    #expect(one != Endpoint(StreamNumber(number: 1, origin: 8)).address.limitPrefix)
  }
}
