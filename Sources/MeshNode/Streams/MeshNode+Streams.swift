import MeshCrypto
import MeshPaths
import MeshSession
public import MeshWire

/// Where UDP is blocked: TLS streams to relays, as one more kind of path to them (docs/nat-traversal.md).
extension MeshNode {
  /// A stream that this node asked for with `.openStream` stands.
  public mutating func streamOpened(_ stream: StreamNumber, now: Instant) {
    guard let opened = streams.opened(stream, now: now) else { return emit(.closeStream(stream)) }
    counters.streamsOpened += 1
    pathFound(opened.endpoint, to: opened.relay, origin: .stream, now: now)
  }

  /// A stream has ended, or never came about: one that was asked for, or one that somebody opened to us.
  public mutating func streamClosed(_ stream: StreamNumber, now: Instant) {
    let relay = streams[stream]?.relay
    streams.closed(stream, now: now)
    let endpoint = Endpoint(stream)
    let affected = neighbours.entries.filter {
      $0.peerID == relay || $0.current?.endpoint == endpoint || $0.paths.knows(endpoint)
        || $0.candidates.contains { $0.endpoint == endpoint }
    }
    for peerID in affected.map(\.peerID) { pathLost(endpoint, to: peerID, now: now) }
  }

  /// A detection has found that no UDP passes here, or that it does. What was heard while it ran tells
  /// otherwise.
  mutating func udpFound(isBlocked: Bool, now: Instant) {
    if isBlocked, let heard = streams.heardOverUDP, now - heard < StreamTable.newsTime { return }
    streams.isUDPBlocked = isBlocked
    guard isBlocked else { return }
    for slot in neighbours.entries.indices where neighbours.entries[slot].streamWish != nil {
      openStream(slot, now: now)
    }
  }

  /// A relay is being dialled, or falls silent: should nothing at all answer over UDP, a stream takes its
  /// place.
  mutating func wishForStream(_ slot: Int, now: Instant) {
    guard neighbours.entries[slot].streamWish == nil, streamDoor(of: slot) != nil else { return }
    neighbours.entries[slot].streamWish = StreamWish(since: now)
    if streams.isUDPBlocked == true { openStream(slot, now: now) }
  }

  /// Fires what is due of a wish.
  mutating func advanceStream(_ slot: Int, now: Instant) {
    guard let wish = neighbours.entries[slot].streamWish, wish.due <= now else { return }
    guard isUnanswered(slot) else {
      neighbours.entries[slot].streamWish = nil
      return
    }
    guard wish.hasAsked else {
      neighbours.entries[slot].streamWish?.hasAsked = true
      // They are likelier than anybody to be there: what they answer shows that UDP works.
      for backbone in neighbours.entries.indices
      where neighbours.entries[backbone].isBackbone && neighbours.entries[backbone].isConnected {
        observeAgain(backbone, now: now)
      }
      return
    }
    neighbours.entries[slot].streamWish = nil
    if let heard = streams.heardOverUDP, heard >= wish.since { return }
    // Others need not wait as long, until something is heard.
    streams.isUDPBlocked = true
    openStream(slot, now: now)
  }

  /// Nobody has answered our handshake, or the path of the session in use is silent.
  private func isUnanswered(_ slot: Int) -> Bool {
    if neighbours.entries[slot].current != nil { return neighbours.entries[slot].paths.isInDoubt }
    return neighbours.entries[slot].attempt.map { $0.answered == nil } ?? false
  }

  private mutating func openStream(_ slot: Int, now: Instant) {
    neighbours.entries[slot].streamWish = nil
    guard let door = streamDoor(of: slot),
      let number = streams.add(relay: neighbours.entries[slot].peerID, now: now)
    else { return }
    emit(.openStream(number, to: door.endpoint, certificate: door.certificate))
  }

  /// Where a relay serves streams, and the SHA-256 of the certificate that it must show, by its signed
  /// record.
  private func streamDoor(of slot: Int) -> (endpoint: Endpoint, certificate: [UInt8])? {
    guard let record = records.lastKnown(neighbours.entries[slot].peerID), let relay = record.body.relay,
      let port = relay.streamPort, let certificate = relay.streamCertificate
    else { return nil }
    let doors = record.body.endpoints.map { Endpoint($0.endpoint.address, port: port) }.filter(mayDial)
    guard !doors.isEmpty else { return nil }
    // Each family gets its turn.
    return (doors[neighbours.entries[slot].failures % doors.count], certificate)
  }

  /// Closes streams that no session uses any more, because UDP works again or nothing is wanted of the relay.
  mutating func closeIdleStreams(now: Instant) {
    guard let deadline = streams.deadline, deadline <= now else { return }
    for stream in streams.streams where stream.isOpen {
      let isUsed = neighbours.entries.contains {
        $0.current?.endpoint == stream.endpoint || $0.attempt != nil && $0.peerID == stream.relay
      }
      if isUsed {
        streams.used(stream.number, now: now)
      } else if stream.idleSince + StreamTable.idleTime <= now {
        emit(.closeStream(stream.number))
        streamClosed(stream.number, now: now)
      }
    }
  }
}
