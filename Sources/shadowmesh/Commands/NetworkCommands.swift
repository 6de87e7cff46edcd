import ArgumentParser
import ControlAPI
import Foundation

/// `shadowmesh status`.
struct StatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Show this node, its backbone, its record and its sessions.")
  @OptionGroup var daemon: DaemonOptions

  func run() throws {
    try reporting(daemon.output) {
      guard case .status(let status) = try daemon.client.send(.status) else { throw unexpectedAnswer() }
      if daemon.output.json { return printJSON(status) }
      let style = Style()
      var fields = [
        ("PeerID", status.peerID), ("address", "\(status.address) on \(status.tunName), MTU \(status.mtu)"),
        ("listens", "UDP \(status.listenPort)"),
        ("service", "\(status.serviceType) in \(status.region)"),
        ("backbone", backbone(status.backbone, style)),
      ]
      if let record = status.record {
        let place = record.published ? style.green("published") : style.yellow("not published yet")
        fields.append(("record", "\(place), sequence \(record.sequence), until \(clock(record.expires))"))
        fields.append(
          ("endpoints", record.endpoints.isEmpty ? "none" : record.endpoints.joined(separator: " ")))
      }
      fields += [
        ("router", status.portMapping.summary),
        ("peers", "\(status.peers) added, \(status.sessions) with a session"),
      ]
      fields += status.paths.map { ("  \($0.name.text)", "\($0.path.summary): \($0.path.reason)") }
      if status.sessions > status.paths.count { fields.append(("", "and others: shadowmesh peers")) }
      fields += [
        ("knows", "\(status.tableSize) nodes of at most 100, \(status.cachedRecords) records"),
        ("running", "\(span(status.uptime)), version \(status.version)"),
      ]
      printFields(fields, style: style)
    }
  }

  private func backbone(_ report: BackboneReport, _ style: Style) -> String {
    switch report.state {
    case .none: return "none configured"
    case .connecting: return "\(report.url), logging in"
    case .away: return "\(report.url), \(style.yellow("away")): \(report.reason)"
    case .loggedIn:
      let until = report.tokenExpires.map { " until \(clock($0))" } ?? ""
      return "\(report.url), \(style.green("logged in"))\(until)"
    }
  }
}

/// `shadowmesh lookup`.
struct LookUpCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lookup",
    abstract: "Find a node's signed record: own cache, then the backbone, then the peers.")
  @OptionGroup var daemon: DaemonOptions
  @Argument(help: "A PeerID of 40 hexadecimal digits, or the name of a peer.") var target: String

  func run() throws {
    try reporting(daemon.output) {
      guard case .lookUp(let found) = try daemon.client.send(.lookUp(target: target)) else {
        throw unexpectedAnswer()
      }
      if daemon.output.json { return printJSON(found) }
      let endpoints =
        found.endpointsWithheld
        ? "withheld: its owner has not added this node"
        : found.endpoints.isEmpty ? "none" : found.endpoints.joined(separator: " ")
      printFields([
        ("PeerID", found.peerID), ("KeyHash", found.keyHash), ("address", found.address),
        ("service", "\(found.serviceType) in \(found.region)"), ("endpoints", endpoints),
        ("record", "sequence \(found.sequence), until \(clock(found.expires))"),
        ("from", "\(found.source), in \(milliseconds(found.milliseconds))"),
      ])
    }
  }
}

/// `shadowmesh ping`.
struct PingCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ping",
    abstract: "Measure the round trip to a peer inside its session, and say which path and why.",
    discussion: """
      Succeeds when at least one answer came, with --until-direct when a direct path did. No ICMP is used, \
      and no port rule is needed.
      """
  )
  @OptionGroup var daemon: DaemonOptions
  @Argument(help: "The name of a peer, or its PeerID.") var name: String
  @Option(name: [.short, .long], help: "How many, one a second.") var count: Int?
  @Flag(help: "Go on until packets go without relays, for 120 pings unless -c says otherwise.")
  var untilDirect = false

  private var most: Int { count ?? (untilDirect ? 120 : 3) }

  func validate() throws {
    guard (1...ControlRequest.maximumPings).contains(most) else {
      throw ValidationError("-c is from 1 to \(ControlRequest.maximumPings)")
    }
  }

  func run() throws {
    try reporting(daemon.output) {
      let style = Style()
      var answered = 0
      var isDirect = false
      let request = ControlRequest.ping(target: name, count: most, untilDirect: untilDirect)
      try daemon.client.send(request, timeout: 75) { answer in
        guard case .ping(let report) = answer else { throw unexpectedAnswer() }
        if report.milliseconds != nil { answered += 1 }
        isDirect = report.milliseconds != nil && report.path.isDirect
        if daemon.output.json { return printJSONLine(report) }
        show(report, style)
      }
      if answered == 0 || (untilDirect && !isDirect) { throw ExitCode(6) }
    }
  }

  private func show(_ report: PingReport, _ style: Style) {
    guard let time = report.milliseconds else {
      print("\(report.index): \(style.red("no answer")): \(report.message)")
      return
    }
    var line = "\(report.index): \(style.green(milliseconds(time))) \(report.path.summary)"
    line += " (\(report.path.reason))"
    if let handshake = report.handshakeMilliseconds { line += ", handshake \(milliseconds(handshake))" }
    print(line)
    if !report.message.isEmpty { print("   \(style.yellow(report.message))") }
  }
}
