"""Ten questions that auditors ask, in Cypher that every store understands (docs/graph.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TEXT, TIME, NUMBER = "text", "time", "number"


@dataclass(frozen=True)
class Question:
    """A question with its answer's query.

    Args:
        asks: the question, as people put it.
        cypher: the query.
        parameters: its `$names` → what they are: `text`, `time` or `number`.
    """

    asks: str
    cypher: str
    parameters: Mapping[str, str]


QUESTIONS: dict[str, Question] = {
    "users-of": Question(
        "Who has used this resource, how often, and since when?",
        """\
MATCH (r:Resource {name: $resource})<-[:TOUCHED]-(a:Access)<-[:DID]-(u:User)
RETURN u.user_id AS user, count(a) AS accesses, min(a.at) AS first, max(a.at) AS last
ORDER BY accesses DESC, user""",
        {"resource": TEXT},
    ),
    "new-resources": Question(
        "Which resources has this user used for the first time since then?",
        """\
MATCH (u:User {user_id: $user})-[:DID]->(a:Access)-[:TOUCHED]->(r:Resource)
WITH r.name AS resource, min(a.at) AS first, count(a) AS accesses
WHERE first >= $since
RETURN resource, first, accesses
ORDER BY first, resource""",
        {"user": TEXT, "since": TIME},
    ),
    "not-of-peers": Question(
        "What does this user use that nobody else of the user's peer groups uses?",
        """\
MATCH (u:User {user_id: $user})-[:USES]->(r:Resource)
WHERE NOT EXISTS {
  MATCH (u)-[:MEMBER_OF]->(:PeerGroup)<-[:MEMBER_OF]-(p:User)-[:USES]->(r)
  WHERE p.user_id <> $user
}
RETURN r.name AS resource
ORDER BY resource""",
        {"user": TEXT},
    ),
    "peers-who-use": Question(
        "Which peers of this user also use the resource, and since when?",
        """\
MATCH (u:User {user_id: $user})-[:MEMBER_OF]->(g:PeerGroup)<-[:MEMBER_OF]-(p:User)
WHERE p.user_id <> $user
MATCH (p)-[:DID]->(a:Access)-[:TOUCHED]->(r:Resource {name: $resource})
RETURN p.user_id AS peer, min(a.at) AS first, count(DISTINCT a.event_id) AS accesses
ORDER BY first, peer""",
        {"user": TEXT, "resource": TEXT},
    ),
    "used-by-one": Question(
        "Which resources does a single user use?",
        """\
MATCH (u:User)-[:USES]->(r:Resource)
WITH r.name AS resource, count(u) AS users, min(u.user_id) AS user
WHERE users = 1
RETURN resource, user
ORDER BY resource
LIMIT $most""",
        {"most": NUMBER},
    ),
    "shared-sources": Question(
        "From which sources have several users come since then?",
        """\
MATCH (u:User)-[:DID]->(a:Access)-[:CAME_FROM]->(s:Source)
WHERE a.at >= $since
WITH s.name AS source, count(DISTINCT u.user_id) AS users, count(a) AS accesses
WHERE users >= $least
RETURN source, users, accesses
ORDER BY users DESC, accesses DESC, source""",
        {"since": TIME, "least": NUMBER},
    ),
    "new-sources": Question(
        "Who has come from a source for the first time since then, and was it new to all?",
        """\
MATCH (s:Source)<-[:CAME_FROM]-(x:Access)
WITH s, min(x.at) AS ever
MATCH (u:User)-[:DID]->(a:Access)-[:CAME_FROM]->(s)
WITH u.user_id AS user, s.name AS source, ever, min(a.at) AS first
WHERE first >= $since
RETURN user, source, first, ever = first AS new_to_all
ORDER BY first, user, source""",
        {"since": TIME},
    ),
    "failures": Question(
        "Whose accesses have failed most since then, and on how many resources?",
        """\
MATCH (u:User)-[:DID]->(a:Access)
WHERE a.success = false AND a.at >= $since
OPTIONAL MATCH (a)-[:TOUCHED]->(r:Resource)
RETURN u.user_id AS user, count(a) AS failures, count(DISTINCT r.name) AS resources
ORDER BY failures DESC, user
LIMIT $most""",
        {"since": TIME, "most": NUMBER},
    ),
    "ways-to": Question(
        "Who uses this resource and shares others with the user: how could it be reached?",
        """\
MATCH (u:User {user_id: $user})-[:USES]->(shared:Resource)<-[:USES]-(other:User)
WHERE other.user_id <> $user AND shared.name <> $resource
MATCH (other)-[:USES]->(r:Resource {name: $resource})
RETURN other.user_id AS other, count(DISTINCT shared.name) AS shared
ORDER BY shared DESC, other""",
        {"user": TEXT, "resource": TEXT},
    ),
    "widened-reach": Question(
        "Who has used the most resources for the first time since then?",
        """\
MATCH (u:User)-[:DID]->(a:Access)-[:TOUCHED]->(r:Resource)
WITH u.user_id AS user, r.name AS resource, min(a.at) AS first
WHERE first >= $since
RETURN user, count(resource) AS resources
ORDER BY resources DESC, user
LIMIT $most""",
        {"since": TIME, "most": NUMBER},
    ),
}
