package world

import (
	"fmt"
	"time"
)

// bootLines are what a program says when it starts.
func bootLines(c *Container) []string {
	s, tag := c.Spec.Service, c.Image.Tag
	switch c.Spec.Profile.Lang {
	case Spring:
		return []string{
			fmt.Sprintf(`{"level":"INFO","logger_name":"com.nexgate.Application","message":"Starting %s v%s using Java 21.0.4"}`, s, tag),
			`{"level":"INFO","logger_name":"o.s.b.w.embedded.tomcat.TomcatWebServer","message":"Tomcat started on port 8080 (http) with context path '/'"}`,
			`{"level":"INFO","logger_name":"com.nexgate.Application","message":"Started Application in 6.214 seconds (process running for 6.9)"}`,
		}
	case Node:
		return []string{
			fmt.Sprintf(`{"level":"info","msg":"%s %s starting","node":"v22.9.0"}`, s, tag),
			`{"level":"info","msg":"listening","port":3000}`,
		}
	case FastAPI:
		return []string{
			fmt.Sprintf(`{"level":"INFO","logger":"uvicorn.error","message":"%s %s: started server process [1]"}`, s, tag),
			`{"level":"INFO","logger":"uvicorn.access","message":"application startup complete, 4 models loaded"}`,
		}
	case Postgres:
		return []string{"LOG:  starting PostgreSQL 16.4 on x86_64-pc-linux-musl", "LOG:  database system is ready to accept connections"}
	case Redis:
		return []string{"1:C * Redis is starting", "1:M * Ready to accept connections tcp"}
	case Traefik:
		return []string{fmt.Sprintf(`{"level":"info","msg":"Traefik version %s built on 2026-07-16T13:58:38Z"}`, tag)}
	case Plain:
	}
	return []string{fmt.Sprintf("%s %s: ready", s, tag)}
}

type request struct{ method, path string }

func requestsOf(service string) []request {
	switch service {
	case "ai":
		return []request{{"POST", "/v1/completions"}, {"POST", "/v1/embeddings"}, {"POST", "/v1/moderations"}, {"GET", "/v1/models"}}
	case "notification-server":
		return []request{{"POST", "/push"}, {"POST", "/email"}, {"POST", "/sms"}, {"GET", "/preferences/8842"}}
	case "file-thunder":
		return []request{{"PUT", "/files"}, {"GET", "/files/6f1c"}, {"POST", "/files/scan"}, {"DELETE", "/files/6f1c"}}
	default:
		return []request{{"GET", "/api/orders"}, {"POST", "/api/orders"}, {"GET", "/api/users/me"}, {"GET", "/api/products?page=2"}, {"POST", "/api/payments"}}
	}
}

// phrase is one made-up line; roll decides which.
func phrase(c *Container, at time.Time, roll uint64, fault bool) string {
	rs := requestsOf(c.Spec.Service)
	r := rs[roll%uint64(len(rs))]
	ms := 3 + roll>>8%180
	trace := fmt.Sprintf("%016x", mix(roll, 1))
	stamp := at.UTC().Format("2006-01-02T15:04:05.000Z")
	switch c.Spec.Profile.Lang {
	case Spring:
		return springLine(stamp, trace, r, ms, roll, fault)
	case Node:
		return nodeLine(c, at, trace, r, ms, fault)
	case FastAPI:
		return fastapiLine(c, stamp, trace, r, ms, roll, fault)
	case Traefik:
		status := 200
		if fault {
			status = 502
		}
		return fmt.Sprintf(`{"ClientHost":"203.0.113.%d","Duration":%d,"OriginStatus":%d,"RequestMethod":"%s","RequestPath":"%s","ServiceName":"nexgate-backend@docker","level":"info","msg":"","time":"%s"}`,
			1+roll>>16%250, ms*1000000, status, r.method, r.path, stamp)
	case Postgres:
		return postgresLine(at, roll, fault)
	case Redis:
		return fmt.Sprintf("1:M %s * %d changes in 300 seconds. Saving...", at.UTC().Format("02 Jan 2006 15:04:05.000"), 10+roll%90)
	case Plain:
	}
	if fault {
		return fmt.Sprintf("%s level=error msg=\"upstream timed out\" peer=172.20.0.%d", stamp, 2+roll%200)
	}
	return fmt.Sprintf("%s level=info msg=\"renewed lease\" ttl=%ds", stamp, 60+roll%600)
}

func springLine(stamp, trace string, r request, ms, roll uint64, fault bool) string {
	if fault {
		return fmt.Sprintf(`{"@timestamp":"%s","level":"ERROR","thread_name":"http-nio-8080-exec-%d","logger_name":"com.nexgate.api.ErrorHandler","message":"%s %s failed: could not acquire connection within 30000 ms","traceId":"%s","stack_trace":"java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available\n\tat com.zaxxer.hikari.pool.HikariPool.getConnection(HikariPool.java:181)"}`,
			stamp, 1+roll%16, r.method, r.path, trace)
	}
	return fmt.Sprintf(`{"@timestamp":"%s","level":"INFO","thread_name":"http-nio-8080-exec-%d","logger_name":"com.nexgate.api.AccessLog","message":"%s %s 200 %d ms","traceId":"%s"}`,
		stamp, 1+roll%16, r.method, r.path, ms, trace)
}

func nodeLine(c *Container, at time.Time, trace string, r request, ms uint64, fault bool) string {
	if fault {
		return fmt.Sprintf(`{"level":"error","time":%d,"hostname":"%s","reqId":"%s","err":{"type":"Error","message":"connect ETIMEDOUT 17.188.143.34:443"},"msg":"push failed"}`,
			at.UnixMilli(), c.ID[:12], trace)
	}
	return fmt.Sprintf(`{"level":"info","time":%d,"hostname":"%s","reqId":"%s","req":{"method":"%s","url":"%s"},"res":{"statusCode":202},"responseTime":%d,"msg":"request completed"}`,
		at.UnixMilli(), c.ID[:12], trace, r.method, r.path, ms)
}

func fastapiLine(c *Container, stamp, trace string, r request, ms, roll uint64, fault bool) string {
	if !fault {
		return fmt.Sprintf(`{"timestamp":"%s","level":"INFO","logger":"ai.access","message":"%s %s 200","duration_ms":%d,"trace_id":"%s"}`,
			stamp, r.method, r.path, ms*4, trace)
	}
	reasons := [...]string{
		"tokenizer: index 32001 out of range for vocabulary of 32000",
		"inference worker did not answer within 5.0 s",
		"batch aborted: token count mismatch (expected 512, got 511)",
	}
	if c.Image.Flaws.ErrorLines == 0 {
		reasons = [...]string{reasons[1], reasons[1], "upstream model server reset the connection"}
	}
	return fmt.Sprintf(`{"timestamp":"%s","level":"ERROR","logger":"ai.inference","message":"%s %s 500: %s","trace_id":"%s"}`,
		stamp, r.method, r.path, reasons[roll>>20%3], trace)
}

func postgresLine(at time.Time, roll uint64, fault bool) string {
	stamp := at.UTC().Format("2006-01-02 15:04:05.000 UTC")
	if fault {
		return fmt.Sprintf("%s [%d] ERROR:  canceling statement due to statement timeout", stamp, 40+roll%50)
	}
	return fmt.Sprintf("%s [27] LOG:  checkpoint complete: wrote %d buffers (%.1f%%); 0 WAL file(s) added, 0 removed", stamp, roll%900, float64(roll%900)/160)
}
