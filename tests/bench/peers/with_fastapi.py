"""FastAPI, SQLAlchemy and Celery, put together as their documents show."""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import jwt
from celery import Celery
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import JSON, ForeignKey, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SECRET = os.environ["PEER_SECRET"]
DATABASE = os.environ["PEER_DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://")
engine = create_async_engine(DATABASE, pool_size=16)
Session = async_sessionmaker(engine, expire_on_commit=False)
celery = Celery("peer", broker=os.environ["PEER_REDIS_URL"])
oauth2 = OAuth2PasswordBearer(tokenUrl="token")


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    is_active: Mapped[bool] = mapped_column(default=True)


class Job(Base):
    __tablename__ = "job"
    event_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    owner_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    status: Mapped[str] = mapped_column(default="PENDING")
    title: Mapped[str] = mapped_column(default="")
    guideline_text: Mapped[str]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(
        default=lambda: datetime.now(UTC).replace(tzinfo=None), index=True
    )


class JobIn(BaseModel):
    guideline_text: str = Field(min_length=1, max_length=1_048_576)
    title: str = ""


class JobOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    event_id: uuid.UUID
    status: str
    title: str
    created_at: datetime


class JobDetail(JobOut):
    result: dict[str, Any] | None


@celery.task
def process(event_id: str) -> None:
    """Nobody runs it here."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with Session() as session:
        if await session.scalar(select(User)) is None:
            session.add(User(name="bench"))
            await session.commit()
    yield


app = FastAPI(lifespan=lifespan)


async def get_session() -> AsyncIterator[AsyncSession]:
    async with Session() as session:
        yield session


Database = Annotated[AsyncSession, Depends(get_session)]


async def get_current_user(token: Annotated[str, Depends(oauth2)], session: Database) -> User:
    try:
        name = jwt.decode(token, SECRET, algorithms=["HS256"])["sub"]
    except jwt.InvalidTokenError:
        raise HTTPException(401) from None
    user: User | None = await session.scalar(select(User).where(User.name == name))
    if user is None or not user.is_active:
        raise HTTPException(401)
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]


@app.post("/jobs", status_code=202, response_model=JobOut)
async def submit(body: JobIn, user: CurrentUser, session: Database) -> Job:
    job = Job(owner_id=user.id, title=body.title, guideline_text=body.guideline_text)
    session.add(job)
    await session.commit()
    process.delay(str(job.event_id))
    return job


@app.get("/jobs/{event_id}", response_model=JobDetail)
async def show(event_id: uuid.UUID, user: CurrentUser, session: Database) -> Job:
    query = select(Job).where(Job.event_id == event_id, Job.owner_id == user.id)
    job: Job | None = await session.scalar(query)
    if job is None:
        raise HTTPException(404)
    return job


@app.get("/jobs", response_model=list[JobOut])
async def page(user: CurrentUser, session: Database, offset: int = 0, limit: int = 20) -> Any:
    newest = select(Job).where(Job.owner_id == user.id).order_by(Job.created_at.desc())
    return (await session.scalars(newest.offset(offset).limit(limit))).all()
