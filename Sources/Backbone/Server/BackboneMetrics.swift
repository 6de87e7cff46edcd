import BackboneAPI
import MeshWire
import Metrics
import Synchronization

/// The backbone's metric objects, made once and held.
struct BackboneMetrics: Sendable {
  let logins: Counter
  let loginRefusals: [LoginRefusal: Counter]
  let tokenRefusals: [TokenRefusal: Counter]
  let recordsStored: Counter
  let recordsUnchanged: Counter
  let recordRefusals: Counter
  let lookUpsFound: Counter
  let lookUpsMissed: Counter
  let relaysListed: Counter
  let rateLimited: Counter
  let overloads: Counter
  let storeFailures: Counter
  let workWaiting: Gauge
  private let requestTimes: [Route: Timer]
  private let factory: any MetricsFactory

  init(factory: any MetricsFactory) {
    func counter(_ name: String, _ dimensions: [(String, String)] = []) -> Counter {
      Counter(label: "shadowmesh_backbone_\(name)", dimensions: dimensions, factory: factory)
    }
    self.factory = factory
    logins = counter("logins")
    loginRefusals = Dictionary(
      uniqueKeysWithValues: LoginRefusal.allCases.map {
        ($0, counter("login_refusals", [("reason", $0.rawValue)]))
      })
    tokenRefusals = Dictionary(
      uniqueKeysWithValues: TokenRefusal.allCases.map {
        ($0, counter("token_refusals", [("reason", $0.rawValue)]))
      })
    recordsStored = counter("records_published", [("outcome", "stored")])
    recordsUnchanged = counter("records_published", [("outcome", "unchanged")])
    recordRefusals = counter("records_published", [("outcome", "refused")])
    lookUpsFound = counter("look_ups", [("outcome", "found")])
    lookUpsMissed = counter("look_ups", [("outcome", "missed")])
    relaysListed = counter("relays_listed")
    rateLimited = counter("rate_limited")
    overloads = counter("overloads")
    storeFailures = counter("store_failures")
    workWaiting = Gauge(label: "shadowmesh_backbone_work_waiting", factory: factory)
    requestTimes = Dictionary(
      uniqueKeysWithValues: Route.allCases.map {
        (
          $0,
          Timer(
            label: "shadowmesh_backbone_request", dimensions: [("route", $0.rawValue)], factory: factory)
        )
      })
  }

  /// How long a request took.
  func record(_ time: Duration, of route: Route) {
    requestTimes[route]?.recordNanoseconds(time.wholeNanoseconds)
  }

  /// Rows of a table.
  func record(rows: Int, of table: String) {
    Gauge(label: "shadowmesh_backbone_rows", dimensions: [("table", table)], factory: factory).record(rows)
  }
}
