/// The description of the HTTP API that is served at `/openapi.json`; tests hold the server against it.
public enum OpenAPIDocument {
  /// OpenAPI 3.1, JSON.
  public static let json = #"""
    {
      "openapi": "3.1.0",
      "info": {
        "title": "ShadowMesh backbone",
        "version": "1",
        "description": "Login and registry. What is signed, and how: docs/AUTHENTICATION_PROTOCOL.md.",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}
      },
      "paths": {
        "/api/auth/challenge": {
          "get": {
            "operationId": "challenge",
            "summary": "A challenge to sign",
            "responses": {
              "200": {
                "description": "Good for 60 seconds, once",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Challenge"}}}
              },
              "429": {"$ref": "#/components/responses/RateLimited"},
              "default": {"$ref": "#/components/responses/Problem"}
            }
          }
        },
        "/api/auth/verify": {
          "post": {
            "operationId": "verify",
            "summary": "Log in with a signed challenge",
            "requestBody": {
              "required": true,
              "content": {"application/json": {"schema": {"$ref": "#/components/schemas/VerifyRequest"}}}
            },
            "responses": {
              "200": {
                "description": "Logged in",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/VerifyAnswer"}}}
              },
              "400": {"$ref": "#/components/responses/Problem"},
              "401": {"$ref": "#/components/responses/Problem"},
              "413": {"$ref": "#/components/responses/Problem"},
              "415": {"$ref": "#/components/responses/Problem"},
              "429": {"$ref": "#/components/responses/RateLimited"},
              "503": {"$ref": "#/components/responses/Unavailable"},
              "default": {"$ref": "#/components/responses/Problem"}
            }
          }
        },
        "/api/peers/lookup": {
          "get": {
            "operationId": "lookUp",
            "summary": "The signed record of a peer",
            "security": [{"session": []}],
            "parameters": [
              {
                "name": "peer_id", "in": "query", "required": true,
                "schema": {"type": "string", "pattern": "^[0-9a-fA-F]{40}$"}
              }
            ],
            "responses": {
              "200": {
                "description": "Its private part is in it only for those whom its owner admitted",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Record"}}}
              },
              "400": {"$ref": "#/components/responses/Problem"},
              "401": {"$ref": "#/components/responses/Unauthorized"},
              "404": {"$ref": "#/components/responses/Problem"},
              "429": {"$ref": "#/components/responses/RateLimited"},
              "503": {"$ref": "#/components/responses/Unavailable"},
              "default": {"$ref": "#/components/responses/Problem"}
            }
          }
        },
        "/api/peers/relays": {
          "get": {
            "operationId": "relays",
            "summary": "Signed records of public nodes that relay, a random sample",
            "security": [{"session": []}],
            "parameters": [
              {
                "name": "region", "in": "query", "description": "Relays of this region come first",
                "schema": {"type": "string", "pattern": "^[a-z0-9_-]{1,32}$"}
              },
              {
                "name": "limit", "in": "query",
                "schema": {"type": "integer", "minimum": 1, "maximum": 20, "default": 8}
              }
            ],
            "responses": {
              "200": {
                "description": "Without private parts, and without the asker",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/RelayList"}}}
              },
              "400": {"$ref": "#/components/responses/Problem"},
              "401": {"$ref": "#/components/responses/Unauthorized"},
              "429": {"$ref": "#/components/responses/RateLimited"},
              "503": {"$ref": "#/components/responses/Unavailable"},
              "default": {"$ref": "#/components/responses/Problem"}
            }
          }
        },
        "/api/peers/record": {
          "put": {
            "operationId": "publish",
            "summary": "Publish one's own signed record, or a tombstone",
            "security": [{"session": []}],
            "requestBody": {
              "required": true,
              "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Record"}}}
            },
            "responses": {
              "204": {"description": "Stored, or stored already"},
              "400": {"$ref": "#/components/responses/Problem"},
              "401": {"$ref": "#/components/responses/Unauthorized"},
              "403": {"$ref": "#/components/responses/Problem"},
              "409": {"$ref": "#/components/responses/Problem"},
              "413": {"$ref": "#/components/responses/Problem"},
              "415": {"$ref": "#/components/responses/Problem"},
              "422": {"$ref": "#/components/responses/Problem"},
              "429": {"$ref": "#/components/responses/RateLimited"},
              "503": {"$ref": "#/components/responses/Unavailable"},
              "default": {"$ref": "#/components/responses/Problem"}
            }
          }
        },
        "/health": {
          "get": {
            "operationId": "health",
            "summary": "Whether the process answers",
            "responses": {"200": {"$ref": "#/components/responses/Status"}}
          }
        },
        "/ready": {
          "get": {
            "operationId": "ready",
            "summary": "Whether requests can be served",
            "responses": {
              "200": {"$ref": "#/components/responses/Status"},
              "503": {"$ref": "#/components/responses/Unavailable"}
            }
          }
        },
        "/metrics": {
          "get": {
            "operationId": "metrics",
            "summary": "Prometheus text format 0.0.4",
            "responses": {
              "200": {
                "description": "Every metric", "content": {"text/plain": {"schema": {"type": "string"}}}
              }
            }
          }
        },
        "/openapi.json": {
          "get": {
            "operationId": "openAPI",
            "summary": "This document",
            "responses": {
              "200": {
                "description": "OpenAPI 3.1",
                "content": {"application/json": {"schema": {"type": "object"}}}
              }
            }
          }
        }
      },
      "components": {
        "securitySchemes": {"session": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        "responses": {
          "Status": {
            "description": "Yes",
            "content": {
              "application/json": {
                "schema": {
                  "type": "object", "required": ["status"], "additionalProperties": false,
                  "properties": {"status": {"type": "string"}}
                }
              }
            }
          },
          "Problem": {
            "description": "An error (RFC 9457)",
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
          },
          "Unauthorized": {
            "description": "No valid session token",
            "headers": {"WWW-Authenticate": {"required": true, "schema": {"type": "string"}}},
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
          },
          "RateLimited": {
            "description": "Too many requests",
            "headers": {"Retry-After": {"required": true, "schema": {"type": "integer", "minimum": 1}}},
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
          },
          "Unavailable": {
            "description": "Busy, or the store cannot be used",
            "headers": {"Retry-After": {"required": true, "schema": {"type": "integer", "minimum": 1}}},
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
          }
        },
        "schemas": {
          "Base64": {
            "type": "string",
            "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
          },
          "KeyHash": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
          "Challenge": {
            "type": "object", "required": ["challenge", "timestamp", "expires_at"],
            "additionalProperties": false,
            "properties": {
              "challenge": {"type": "string", "pattern": "^([0-9a-f]{2}){1,128}$"},
              "timestamp": {"type": "integer", "minimum": 0},
              "expires_at": {"type": "integer", "minimum": 0}
            }
          },
          "VerifyRequest": {
            "type": "object", "required": ["peer_id", "challenge", "signature", "public_key"],
            "additionalProperties": false,
            "properties": {
              "peer_id": {"type": "string", "pattern": "^[0-9a-fA-F]{40}$"},
              "challenge": {"type": "string", "pattern": "^([0-9a-fA-F]{2}){0,128}$"},
              "signature": {"$ref": "#/components/schemas/Base64", "maxLength": 6172},
              "public_key": {"$ref": "#/components/schemas/Base64", "maxLength": 3456},
              "audience": {"type": "string", "maxLength": 128},
              "invite": {"type": "string", "maxLength": 32}
            }
          },
          "VerifyAnswer": {
            "type": "object",
            "required": [
              "session_token", "expires_at", "backbone_nodes", "nodes_issued_at", "nodes_expire_at",
              "nodes_signature", "backbone_public_key"
            ],
            "additionalProperties": false,
            "properties": {
              "session_token": {"type": "string", "maxLength": 2048},
              "expires_at": {"type": "integer", "minimum": 0},
              "backbone_nodes": {
                "type": "array", "maxItems": 64, "items": {"$ref": "#/components/schemas/BackboneNode"}
              },
              "nodes_issued_at": {"type": "integer", "minimum": 0},
              "nodes_expire_at": {"type": "integer", "minimum": 0},
              "nodes_signature": {"$ref": "#/components/schemas/Base64"},
              "backbone_public_key": {"$ref": "#/components/schemas/Base64"}
            }
          },
          "BackboneNode": {
            "type": "object", "required": ["region", "ip", "port", "key_hash"],
            "additionalProperties": false,
            "properties": {
              "region": {"type": "string", "pattern": "^[a-z0-9_-]{1,32}$"},
              "ip": {"type": "string"},
              "port": {"type": "integer", "minimum": 1, "maximum": 65535},
              "key_hash": {"$ref": "#/components/schemas/KeyHash"},
              "stun": {"type": "string"}
            }
          },
          "RelayList": {
            "type": "object", "required": ["relays"], "additionalProperties": false,
            "properties": {
              "relays": {"type": "array", "maxItems": 20, "items": {"$ref": "#/components/schemas/Record"}}
            }
          },
          "Record": {
            "type": "object", "required": ["record"], "additionalProperties": false,
            "properties": {"record": {"$ref": "#/components/schemas/Base64", "maxLength": 16384}}
          },
          "Problem": {
            "type": "object", "required": ["type", "title", "status"], "additionalProperties": false,
            "properties": {
              "type": {"type": "string", "pattern": "^urn:shadowmesh:problem:[a-z-]+$"},
              "title": {"type": "string"},
              "status": {"type": "integer", "minimum": 400, "maximum": 599},
              "detail": {"type": "string"}
            }
          }
        }
      }
    }
    """#
}
